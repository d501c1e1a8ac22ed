//! Plots about things: losing, counting, cooking and swapping them.

use crate::lexicon as lex;
use crate::telling::Telling;

/// Something is put down, missed, and found exactly where it was put down.
pub fn lost(t: &mut Telling) {
    let toy = *t.pick(lex::TOYS);
    let colour = *t.pick(lex::COLOURS);
    let (place, hiding) = *t.pick(lex::PLACES);
    let side = *t.pick(&["under", "behind", "next to", "on top of"]);
    let (other, decoy) = loop {
        let other = *t.pick(lex::PLACES);
        if other.1 != hiding {
            break other;
        }
    };
    let thing = if toy.contains(' ') { toy.to_owned() } else { format!("{colour} {toy}") };
    t.set("toy", thing).set("short", toy).set("place", place).set("spot", hiding);
    t.set("side", side).set("other", other).set("decoy", decoy);
    t.say(&[
        "{hero} had {a:toy}. {He} took it everywhere.",
        "The best thing {hero} had was {a:toy}. It was a gift from {adult}.",
        "{adult} gave {hero} {a:toy}. {He} loved it very much.",
    ]);
    t.say(&[
        "One day, {he} went to {place} with {friend}. {He} put the {short} {side} the {spot} and ran off to play.",
        "{He} took it to {place}. It was heavy, so {he} left it {side} the {spot}.",
        "In the morning, {hero} and {friend} walked to {place}. {Hero} laid the {short} {side} the {spot} to have both hands free.",
    ]);
    t.maybe(
        60,
        &[
            "They played until the sun was low.",
            "They climbed and ran and laughed all day.",
            "{friend} found a frog, and they watched it for a long time.",
        ],
    );
    t.say(&[
        "When it was time to go home, the {short} was gone! {Hero} was very sad.",
        "At home, {hero} wanted to play with the {short}, but {he} could not find it. {He} began to cry.",
        "Then {hero} looked at {his} hands. They were empty! \"Where is my {short}?\" {he} asked.",
    ]);
    t.maybe(
        70,
        &[
            "They looked near the {decoy}, but it was not there.",
            "First {he} looked at {other}. There was only an old {decoy}.",
            "\"Maybe it is at {other},\" said {friend}. But it was not at {other}.",
        ],
    );
    t.say(&[
        "\"Think,\" said {friend}. \"Where did you put it?\" {Hero} thought hard. \"I put it {side} the {spot}!\" {he} said.",
        "{adult} asked, \"Where were you when you had it last?\" \"At {place},\" said {hero}. \"By the {spot}!\"",
    ]);
    t.say(&[
        "They ran back to {place}. The {short} was {side} the {spot}, just where {he} had left it.",
        "So they went back to {place} and looked {side} the {spot}. There it was!",
    ]);
    t.say(&[
        "{Hero} hugged the {short} and was happy again.",
        "\"Thank you, {friend},\" said {hero}. From that day on, {he} always remembered where {he} put {his} things.",
        "{Hero} smiled all the way home.",
    ]);
}

/// Counting: some are there, some come, some go, and the sums are right.
pub fn sums(t: &mut Telling) {
    let (one, many, keeper) = *t.pick(lex::COUNTED);
    let start = 2 + t.below(8);
    let more = 1 + t.below(6);
    let total = start + more;
    let gift = 1 + t.below(total.min(5) - 1);
    let left = total - gift;
    let noun = |count: usize| if count == 1 { one } else { many };
    t.set("many", many).set("one", one).set("keeper", keeper);
    t.set("start", format!("{start} {}", noun(start)));
    t.set("more", more.to_string()).set("total", total.to_string());
    t.set("gift", gift.to_string()).set("left", left.to_string());
    t.set("totals", format!("{total} {}", noun(total)));
    t.set("lefts", format!("{left} {}", noun(left)));
    t.set("gifts", format!("{gift} {}", noun(gift)));
    t.say(&[
        "{hero} was {a:trait} child who {habit}. {He} had {start} in a {keeper}.",
        "{hero} had {start}. {He} kept them in a {keeper}.",
        "There were {start} in the {keeper}. They belonged to {hero}.",
    ]);
    t.say(&[
        "{adult} came and gave {him} {more} more. Now {he} had {total}.",
        "Then {he} got {more} more from {adult}. Now {hero} had {totals}.",
        "On the way home, {he} found {more} more. \"Now I have {totals},\" said {hero}.",
    ]);
    t.maybe(
        50,
        &[
            "{He} counted them twice to be sure.",
            "{He} put them in a long row on the floor.",
            "\"That is a lot of {many},\" said {adult}.",
        ],
    );
    t.say(&[
        "{friend} came to visit. {Fhe} had no {many} at all and looked sad.",
        "{friend} saw the {keeper} and said, \"I wish I had one {one} too.\"",
        "In the afternoon, {friend} sat on the steps alone. {Fhe} had lost all {fhis} {many}.",
    ]);
    t.say(&[
        "So {hero} gave {fhim} {gift}. Now {friend} had {gift} and {hero} had {left}.",
        "\"You can have {gift},\" said {hero}. That left {left} for {him}.",
        "{Hero} took {gifts} out of the {keeper} and gave them to {friend}. That left {lefts} in the {keeper}.",
    ]);
    t.say(&[
        "{friend} was so happy that {fhe} jumped up and down.",
        "\"Thank you!\" said {friend}. {Fhe} gave {hero} a big hug.",
        "{friend} smiled. \"You are a good friend,\" {fhe} said.",
    ]);
    t.say(&[
        "{Hero} had fewer {many} than before, but {he} felt richer.",
        "{Hero} learned that sharing feels good.",
        "That night, {hero} counted {his} {many} again. {He} had {left}, and that was enough.",
    ]);
}

/// A dish lacks one thing; coins buy it; the change is right.
pub fn cooking(t: &mut Telling) {
    let (dish, part, taste) = *t.pick(lex::DISHES);
    let coins = 5 + t.below(6);
    let price = 2 + t.below(3);
    t.set("dish", dish).set("part", part).set("taste", taste);
    t.set("coins", coins.to_string()).set("price", price.to_string());
    t.set("change", (coins - price).to_string());
    t.say(&[
        "{hero} and {adult} wanted to make {dish}.",
        "It was the birthday of {friend}, so {hero} wanted to make {dish} for {fhim}.",
        "One cold morning, {adult} said, \"Let us make {dish}!\" {Hero} clapped {his} hands.",
    ]);
    t.say(&[
        "They looked in the kitchen, but there was one problem. They had no {part}.",
        "But when they opened the cupboard, they could not find any {part}. \"Oh no,\" said {hero}.",
        "\"We need {part},\" said {adult}, \"and we have none.\"",
    ]);
    t.say(&[
        "{adult} gave {him} {coins} coins, and {hero} went to the market.",
        "{Hero} took {coins} coins and walked to the market with {friend}.",
    ]);
    t.say(&[
        "The {part} cost {price} coins, so {he} had {change} coins left.",
        "\"That is {price} coins,\" said the woman at the cart. {Hero} paid and got the {part}. {He} had {change} coins left.",
    ]);
    t.maybe(
        50,
        &[
            "On the way back, {he} carried the bag with great care.",
            "{He} ran home as fast as {he} could.",
            "It began to rain, so {he} hid the bag under {his} coat.",
        ],
    );
    t.say(&[
        "Back home, they mixed everything in a big bowl and put it on the fire.",
        "{Adult} showed {him} how to mix it all. Then they waited and waited.",
    ]);
    t.say(&[
        "Soon the whole house smelled good. {Dish} was ready, and it was {taste}.",
        "When it was done, everyone had some. It was {taste}.",
    ]);
    t.say(&[
        "{friend} ate two plates. \"This is the best I ever had!\" {fhe} said.",
        "\"You did well,\" said {adult}, and {hero} was proud.",
        "{Hero} gave the last bite to {pet} the {animal}, who {voice} for more.",
    ]);
}

/// Two children swap what they have, because each likes the other's thing better.
pub fn swap(t: &mut Telling) {
    let mine = *t.pick(lex::TOYS);
    let theirs = loop {
        let theirs = *t.pick(lex::TOYS);
        if theirs != mine {
            break theirs;
        }
    };
    let place = t.pick(lex::PLACES).0;
    t.set("mine", mine).set("theirs", theirs).set("place", place);
    t.say(&[
        "{hero} had {a:mine}, but {he} was tired of it. {He} wanted {a:theirs}.",
        "Every day {hero} played with {a:mine}. {He} dreamed of {a:theirs}.",
    ]);
    t.say(&[
        "At {place}, {he} met {friend}. {Friend} had {a:theirs}!",
        "{friend} sat at {place} with {a:theirs}, and {fhe} looked bored.",
    ]);
    t.say(&[
        "\"I like your {theirs},\" said {hero}. \"I like your {mine},\" said {friend}.",
        "\"What a nice {mine}!\" said {friend}. \"What a nice {theirs}!\" said {hero}. They both laughed.",
    ]);
    t.say(&[
        "\"Do you want to swap?\" asked {hero}. {friend} thought about it and said, \"Yes!\"",
        "\"Let us swap for one day,\" said {friend}. {Hero} nodded.",
    ]);
    t.say(&[
        "So {hero} got the {theirs}, and {friend} got the {mine}.",
        "{Hero} gave the {mine} to {friend}, and {friend} gave the {theirs} to {hero}.",
    ]);
    if t.chance(50) {
        t.say(&["But at night, {hero} missed the {mine}. It was too quiet without it."]);
        t.say(&["The next day, {he} asked {friend} to swap back. \"I missed my {theirs} too,\" said {friend}."]);
        t.say(&[
            "In the end, {hero} had the {mine} again, and {friend} had the {theirs}. Both were glad.",
            "So they swapped again, and both of them learned to love what they had.",
        ]);
    } else {
        t.say(&["They played until it was dark, and nobody was bored anymore."]);
        t.say(&["{adult} asked, \"Where is your {mine}?\" \"{friend} has it now,\" said {hero}. \"And I have the {theirs}!\""]);
        t.say(&["{Adult} smiled. \"Then you are both happy,\" {ahe} said. And they were."]);
    }
}
