//! The words of the little world: who lives in it, what they own, where they go.
//!
//! Facts that a story must keep straight sit in one row: a toy with the weather it needs, an
//! animal with its voice, a seed with what grows from it. A model can only learn that a kite
//! needs wind if every story agrees.

/// A pronoun set: subject, object, possessive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pronouns(pub &'static str, pub &'static str, pub &'static str);

pub const SHE: Pronouns = Pronouns("she", "her", "her");
pub const HE: Pronouns = Pronouns("he", "him", "his");

/// Children, who can be the hero or the friend.
#[rustfmt::skip]
pub const CHILDREN: &[(&str, Pronouns)] = &[
    ("Tom", HE), ("Ben", HE), ("Sam", HE), ("Leo", HE), ("Max", HE), ("Jack", HE),
    ("Omar", HE), ("Finn", HE), ("Hugo", HE), ("Ravi", HE), ("Paul", HE), ("Noah", HE),
    ("Lily", SHE), ("Mia", SHE), ("Anna", SHE), ("Sue", SHE), ("Lucy", SHE), ("Nora", SHE),
    ("Zoe", SHE), ("Amy", SHE), ("Ella", SHE), ("Maya", SHE), ("Rosa", SHE), ("Ivy", SHE),
];

/// Grown-ups, by the name children call them.
pub const GROWN_UPS: &[(&str, Pronouns)] = &[
    ("Mom", SHE),
    ("Dad", HE),
    ("Grandma", SHE),
    ("Grandpa", HE),
    ("Aunt May", SHE),
    ("Uncle Joe", HE),
    ("Mrs. Hill", SHE),
    ("Mr. Brown", HE),
];

/// Pets: kind, voice, what it likes to eat.
pub const PETS: &[(&str, &str, &str)] = &[
    ("dog", "barked", "a bone"),
    ("cat", "meowed", "some fish"),
    ("puppy", "yelped", "a bone"),
    ("kitten", "mewed", "some milk"),
    ("duck", "quacked", "some bread"),
    ("pony", "neighed", "a carrot"),
    ("goat", "bleated", "some grass"),
    ("parrot", "squawked", "some seeds"),
];

/// Names that only pets have.
#[rustfmt::skip]
pub const PET_NAMES: &[(&str, Pronouns)] = &[
    ("Spot", HE), ("Biscuit", HE), ("Rex", HE), ("Pepper", SHE), ("Daisy", SHE), ("Button", HE),
    ("Luna", SHE), ("Coco", SHE), ("Ziggy", HE), ("Honey", SHE),
];

/// Places to go, with a thing found there that one can hide under or behind.
pub const PLACES: &[(&str, &str)] = &[
    ("the park", "bench"),
    ("the beach", "rock"),
    ("the farm", "fence"),
    ("the forest", "log"),
    ("the garden", "bush"),
    ("the school", "gate"),
    ("the market", "cart"),
    ("the river", "bridge"),
    ("the lake", "boat"),
    ("the hill", "tree"),
    ("the library", "shelf"),
    ("the playground", "slide"),
];

/// Things a child carries and could lose, break or swap.
#[rustfmt::skip]
pub const TOYS: &[&str] = &[
    "ball", "doll", "kite", "book", "drum", "toy car", "teddy bear", "hat", "red truck", "whistle",
    "puzzle", "toy boat", "flute", "robot", "scarf", "umbrella", "orange yo-yo", "old map",
];

pub const COLOURS: &[&str] =
    &["red", "blue", "green", "yellow", "purple", "white", "black", "pink", "brown", "orange"];

/// Things that come in numbers: one, many, the place they are kept.
#[rustfmt::skip]
pub const COUNTED: &[(&str, &str, &str)] = &[
    ("apple", "apples", "basket"), ("shell", "shells", "bucket"), ("cookie", "cookies", "box"),
    ("marble", "marbles", "bag"), ("stone", "stones", "pocket"), ("flower", "flowers", "vase"),
    ("egg", "eggs", "basket"), ("stamp", "stamps", "album"), ("nut", "nuts", "bag"),
    ("pear", "pears", "bowl"), ("button", "buttons", "jar"), ("sticker", "stickers", "book"),
];

/// What to do outside: the wish, the weather it needs, the doing, the thing needed.
pub const PLAYS: &[(&str, &str, &str, &str)] = &[
    ("fly a kite", "windy", "The kite flew high in the sky", "kite"),
    ("swim in the lake", "hot", "The water was cool and clear", "towel"),
    ("build a snowman", "snowy", "The snowman got a big round belly", "carrot"),
    ("jump in the puddles", "rainy", "The water splashed up to the knees", "pair of boots"),
    ("have a picnic", "sunny", "The bread and the jam tasted very good", "blanket"),
    ("slide down the hill", "snowy", "The sled went faster and faster", "sled"),
    ("sail a toy boat", "windy", "The little boat crossed the whole pond", "toy boat"),
    ("look for snails", "rainy", "There were snails on every leaf", "jar"),
    ("pick berries", "sunny", "The berries were sweet and dark", "basket"),
    ("sleep in a tent", "warm", "The stars came out one by one", "lamp"),
];

pub const WEATHERS: &[&str] = &["windy", "hot", "snowy", "rainy", "sunny", "warm"];

/// What to do inside when the weather says no.
pub const INDOORS: &[&str] = &[
    "painted a picture of a ship",
    "built a castle out of boxes",
    "read a book about dragons",
    "made a tent out of blankets",
    "baked a small cake",
    "sang old songs",
    "played cards on the floor",
    "made a paper crown",
];

/// Seeds: what is planted, what grows, what it gives.
pub const SEEDS: &[(&str, &str, &str)] = &[
    ("a sunflower seed", "a tall sunflower", "had a big yellow face"),
    ("a bean", "a long green vine", "had twelve beans on it"),
    ("an apple seed", "a little tree", "would give apples one day"),
    ("a pumpkin seed", "a fat pumpkin", "was round and orange"),
    ("a rose seed", "a small rose bush", "had three red roses"),
    ("a tomato seed", "a tomato plant", "was full of red tomatoes"),
    ("a strawberry seed", "a strawberry plant", "had sweet red strawberries"),
];

/// Fears: what, where it seems to come from, what it truly is.
pub const FEARS: &[(&str, &str, &str)] = &[
    ("the dark", "a tall shape by the door", "only a coat on a hook"),
    ("thunder", "a loud crash in the sky", "only warm air and cold air bumping together"),
    ("the big dog next door", "a deep growl behind the fence", "only a dog that wanted to play"),
    ("the old cellar", "a scratching sound under the stairs", "only a mouse looking for cheese"),
    ("the attic", "a knocking sound over the bed", "only a branch hitting the roof"),
    ("the wind at night", "a long howl at the window", "only the wind in the chimney"),
    ("the deep water", "a dark shadow in the pond", "only a big old fish"),
];

/// Ways an animal gets stuck, with the two tools that can be tried; the second one works.
pub const STUCK: &[(&str, &str, &str)] = &[
    ("up in a tall tree", "stick", "ladder"),
    ("in a deep hole", "net", "rope"),
    ("on the roof of the barn", "broom", "ladder"),
    ("behind a heavy box", "spoon", "long plank"),
    ("in a muddy ditch", "stick", "rope"),
    ("on a rock in the river", "rope", "boat"),
    ("inside an old pipe", "flute", "piece of cheese"),
];

/// Dishes: what, its one missing part, how it tastes.
pub const DISHES: &[(&str, &str, &str)] = &[
    ("an apple pie", "apples", "sweet and warm"),
    ("a carrot soup", "carrots", "hot and good"),
    ("pancakes", "eggs", "soft and golden"),
    ("a loaf of bread", "flour", "fresh and soft"),
    ("a lemon cake", "lemons", "sweet and a little sour"),
    ("a pizza", "cheese", "hot and crispy"),
    ("honey cookies", "honey", "sweet and crunchy"),
    ("a bean stew", "beans", "thick and warm"),
];

/// Traits: the word, what such a child does, how the story ends for it.
pub const TRAITS: &[(&str, &str)] = &[
    ("kind", "liked to help other people"),
    ("shy", "did not talk much"),
    ("curious", "asked questions all day long"),
    ("brave", "was not scared of many things"),
    ("careful", "always looked twice"),
    ("proud", "did not like to be wrong"),
    ("clever", "loved riddles and puzzles"),
    ("quick", "ran everywhere"),
    ("patient", "knew how to wait"),
    ("cheerful", "laughed at every joke"),
];

/// Numbers in words, for the small counts of a tale.
pub const NUMBERS: &[&str] = &["zero", "one", "two", "three", "four", "five", "six", "seven"];
