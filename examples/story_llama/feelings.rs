//! Plots about the heart: fear, guilt, a new friend, a rule kept or broken.

use crate::lexicon as lex;
use crate::telling::Telling;

/// A fear is looked at closely and turns out to have a plain cause.
pub fn fear(t: &mut Telling) {
    let (fear, sign, truth) = *t.pick(lex::FEARS);
    t.set("fear", fear).set("sign", sign).set("truth", truth);
    t.say(&[
        "{hero} was afraid of {fear}. {He} never told anyone.",
        "There was one thing that scared {hero}. It was {fear}.",
        "Everyone thought {hero} was brave, but {he} was afraid of {fear}.",
    ]);
    t.say(&[
        "One night, there was {sign}. {Hero} hid under the blanket.",
        "One evening, {he} noticed {sign}. {His} heart beat fast.",
    ]);
    t.say(&[
        "\"Help!\" {he} cried. {Adult} came at once and took {his} hand.",
        "{He} called for {adult}. \"What is wrong?\" asked {adult}. \"I am scared,\" said {hero}.",
        "{pet} the {animal} {voice} and sat down close to {him}. Then {adult} came in with a lamp.",
    ]);
    t.say(&[
        "\"Let us look together,\" said {adult}. They went step by step, and they looked.",
        "\"We will find out what it is,\" {ahe} said. So they went to see.",
    ]);
    t.say(&[
        "It was {truth}! {Hero} began to laugh.",
        "And what was it? It was {truth}.",
        "\"Look,\" said {adult}. \"It is {truth}.\" {Hero} looked, and it was true.",
    ]);
    t.maybe(50, &[
        "\"I was scared of that?\" {he} said, and {he} shook {his} head.",
        "{Adult} laughed too. \"When I was small, I was afraid of {fear} as well,\" {ahe} said.",
    ]);
    t.say(&[
        "After that, {hero} was not afraid of {fear} anymore.",
        "The next time it happened, {hero} was calm. {He} knew what it was.",
        "The next day, {friend} said {fhe} was afraid of {fear}. \"Do not worry,\" said {hero}. \"It is {truth}.\"",
    ]);
}

/// Something breaks; the truth is told at once or later, and that decides the evening.
pub fn broken(t: &mut Telling) {
    let thing = *t.pick(&["vase", "cup", "jug", "lamp", "plate", "clock", "mirror", "music box"]);
    let colour = *t.pick(lex::COLOURS);
    t.set("thing", thing).set("colour", colour);
    t.draw("cause", &["ball", "stick", "elbow", "bag"]);
    t.say(&[
        "{adult} had a {colour} {thing}. {Ahe} loved it very much.",
        "In the house of {adult} there was a {colour} {thing}.",
    ]);
    t.say(&[
        "One day, {hero} played inside, and {his} {cause} hit the {thing}. Crash! The {thing} was broken.",
        "{hero} was not careful. {His} {cause} touched the {thing}, and it fell down. Crash!",
    ]);
    t.maybe(
        50,
        &[
            "{pet} the {animal} {voice} and ran away.",
            "{friend} saw it and put {fhis} hand over {fhis} mouth.",
        ],
    );
    if t.chance(50) {
        t.say(&[
            "{Hero} felt bad. {He} went to {adult} and said, \"I broke the {thing}. I am sorry.\"",
            "{Hero} wanted to hide, but {he} did not. \"{Adult}, I broke your {thing},\" {he} said. \"I am so sorry.\"",
        ]);
        t.say(&[
            "{Adult} was sad about the {thing}, but {ahe} was not angry. \"Thank you for telling me the truth,\" {ahe} said.",
            "\"It was only a {thing},\" said {adult}. \"I am glad you told me.\"",
        ]);
        t.say(&[
            "They picked up the pieces together. Then {adult} gave {him} a hug, and {hero} felt light again.",
            "{Hero} helped to clean up, and that night {he} slept well.",
        ]);
    } else {
        t.say(&[
            "{Hero} was scared, so {he} hid the pieces under the bed. {He} told nobody.",
            "\"Who did this?\" asked {adult}. \"It was {pet},\" said {hero}. But that was not true.",
        ]);
        t.say(&[
            "All day {hero} could not eat or play. {His} belly hurt.",
            "At night, {hero} could not sleep. {He} thought about the {thing} again and again.",
        ]);
        t.say(&[
            "At last {he} went to {adult}. \"I broke the {thing}, and I lied,\" {he} said, and {he} cried.",
            "In the morning, {he} told {adult} everything.",
        ]);
        t.say(&[
            "\"The lie hurt more than the {thing},\" said {adult}. \"But now it is over.\" {Hero} promised to tell the truth next time.",
            "{Adult} looked at {him} for a long time. \"I am glad that you told me in the end,\" {ahe} said. {Hero} never lied about such things again.",
        ]);
    }
}

/// A child stands alone; an offer is made; what they both like makes them friends.
pub fn stranger(t: &mut Telling) {
    let place = t.pick(lex::PLACES).0;
    let toy = *t.pick(lex::TOYS);
    t.set("place", place).set("toy", toy);
    t.draw(
        "hobby",
        &["to draw", "to climb", "to sing", "to read", "to run", "to count stars", "to dig holes"],
    );
    t.say(&[
        "There was a new child at {place}. {Fhis} name was {friend}, and {fhe} knew nobody.",
        "{friend} was new in town. {Fhe} stood at {place} all alone.",
    ]);
    t.say(&[
        "{hero} was {trait} and {habit}. {He} saw {friend} and stopped.",
        "{hero} came by with {a:toy}. {He} saw that {friend} was lonely.",
        "{hero} remembered how it felt to be alone.",
    ]);
    t.say(&[
        "\"Hello,\" said {hero}. \"My name is {hero}. What is your name?\" \"{friend},\" said {friend} in a small voice.",
        "{Hero} walked up to {fhim} and said, \"Do you want to play with my {toy}?\"",
    ]);
    t.maybe(60, &[
        "At first {friend} looked at {fhis} shoes. Then {fhe} nodded.",
        "{friend} did not know what to say. {pet} the {animal} {voice}, and that made {fhim} laugh.",
    ]);
    t.say(&[
        "\"I like {hobby},\" said {friend}. \"I like {hobby} too!\" said {hero}.",
        "\"What do you like?\" asked {hero}. \"I like {hobby},\" said {friend}. {Hero} jumped. \"So do I!\"",
    ]);
    t.say(&[
        "So they went {hobby} together until {adult} called them.",
        "They began {hobby}, and they forgot the time.",
    ]);
    t.say(&[
        "The next day, {friend} was not alone at {place}. {Hero} was there, too.",
        "When {adult} asked about the day, {hero} said, \"I have a new friend, and {fhe} likes {hobby}.\"",
        "From then on, {hero} and {friend} met at {place} every day.",
    ]);
}

/// A warning is heeded or not, and the end follows from that.
pub fn warning(t: &mut Telling) {
    let (rule, deed, harm, cure) = *t.pick(&[
        (
            "touch the hot stove",
            "touched the hot stove",
            "{His} finger was red and it hurt",
            "held {his} hand under cold water",
        ),
        (
            "walk on the thin ice",
            "walked on the thin ice",
            "The ice cracked, and {his} feet got wet and cold",
            "gave {him} dry socks and hot tea",
        ),
        (
            "eat all the cake",
            "ate all the cake",
            "{His} belly hurt very much",
            "made {him} some tea",
        ),
        (
            "pull the tail of the cat",
            "pulled the tail of the cat",
            "The cat scratched {his} hand",
            "put a bandage on {his} hand",
        ),
        (
            "open the gate of the farm",
            "opened the gate of the farm",
            "All the sheep ran out",
            "helped {him} to bring back the sheep",
        ),
        (
            "stay up all night",
            "stayed up all night",
            "{He} fell asleep in {his} soup",
            "carried {him} to bed",
        ),
        (
            "leave the window open",
            "left the window open",
            "The rain came in and made the bed wet",
            "gave {him} a dry blanket",
        ),
    ]);
    let obeys = t.chance(40);
    t.set("rule", rule).set("deed", deed);
    t.say(&[
        "\"Do not {rule},\" said {adult}. {hero} heard it well.",
        "{adult} had one rule for {hero}: do not {rule}.",
    ]);
    t.maybe(
        50,
        &[
            "{hero} was {trait} and {habit}.",
            "\"Why not?\" asked {hero}. \"You will see,\" said {adult}.",
        ],
    );
    t.say(&[
        "Then {adult} went out, and {hero} was alone with {friend}.",
        "In the afternoon, {friend} came over. \"Nobody is looking,\" said {friend}.",
    ]);
    if obeys {
        t.say(&[
            "{Hero} thought about it. \"No,\" {he} said. \"I will not {rule}.\"",
            "{Hero} wanted to do it, but {he} remembered the rule.",
        ]);
        t.say(&[
            "So they played with {pet} the {animal} instead.",
            "So they sat down and told each other stories.",
        ]);
        t.say(&[
            "When {adult} came back, all was well. \"I knew I could trust you,\" {ahe} said.",
            "{Adult} came home and was glad. \"You did not {rule},\" {ahe} said. \"Well done!\"",
        ]);
        t.say(&["{Hero} was proud of {his} choice."]);
    } else {
        t.say(&[
            "{Hero} did not listen. {He} {deed}.",
            "\"Only once,\" said {hero}, and {he} {deed}.",
        ]);
        t.say(&[&format!("{harm}. \"Ow!\" cried {{hero}}."), &format!("Oh no! {harm}.")]);
        t.say(&[
            &format!("{{Adult}} came back and {cure}."),
            &format!("When {{adult}} saw it, {{ahe}} {cure}."),
        ]);
        t.say(&[
            "\"Now I know why I should not {rule},\" said {hero}. {Adult} nodded.",
            "{Hero} was sorry. {He} never {deed} again.",
        ]);
    }
}
