//! Plots under the sky: weather and wishes, an animal in trouble, a seed, a race.

use crate::lexicon as lex;
use crate::telling::Telling;

/// A wish needs its weather; without it, the day goes on indoors.
pub fn weather(t: &mut Telling) {
    let (wish, needs, joy, thing) = *t.pick(lex::PLAYS);
    let today = if t.chance(55) { needs } else { *t.pick(lex::WEATHERS) };
    t.set("wish", wish).set("needs", needs).set("joy", joy).set("thing", thing);
    t.set("today", today).draw("inside", lex::INDOORS);
    t.say(&[
        "{hero} woke up early. {He} wanted to {wish} with {friend}.",
        "All week {hero} had waited for this day. Today {he} would {wish}.",
        "\"Can we {wish} today?\" asked {hero}. \"Only if it is {needs},\" said {adult}.",
    ]);
    t.say(&[
        "{He} ran to the window. It was {today}.",
        "{He} opened the door and looked out. The day was {today}.",
    ]);
    if today == needs {
        t.say(&[
            "\"Hooray!\" {he} said. It was just the right weather.",
            "{Hero} was so happy that {he} danced.",
        ]);
        t.say(&[
            "{He} took {a:thing} and called {friend}. Together they went out.",
            "{friend} came with {a:thing}, and off they went.",
        ]);
        t.say(&["{joy}. They laughed and laughed."]);
        t.maybe(
            50,
            &[
                "Even {pet} the {animal} came along and {voice}.",
                "\"Once more!\" said {friend}, and they did it once more.",
            ],
        );
        t.say(&[
            "In the evening, {hero} was tired but happy. \"That was the best day,\" {he} said.",
            "They came home when it was dark, and {adult} had hot soup for them.",
        ]);
    } else {
        t.say(&[
            "\"Oh no,\" {he} said. \"I cannot {wish} when it is {today}.\"",
            "{Hero} was sad. It had to be {needs} to {wish}.",
        ]);
        t.say(&[
            "{Adult} had an idea. \"Let us stay inside,\" {ahe} said.",
            "{friend} knocked at the door. \"Then we do something else,\" {fhe} said.",
        ]);
        t.say(&[
            "So they {inside}. It took the whole morning.",
            "They {inside}, and {hero} forgot that {he} was sad.",
        ]);
        t.say(&[
            "\"We can {wish} another day,\" said {hero}. \"When it is {needs},\" said {friend}.",
            "In the end, it was a good day after all.",
        ]);
        t.maybe(40, &["And the next day, it was {needs}! {joy}."]);
    }
}

/// An animal is stuck; the first tool fails and the second one works.
pub fn rescue(t: &mut Telling) {
    let (spot, poor, good) = *t.pick(lex::STUCK);
    t.set("spot", spot).set("poor", poor).set("good", good);
    let place = t.pick(lex::PLACES).0;
    t.set("place", place);
    t.say(&[
        "{hero} had {a:animal}. {Phis} name was {pet}.",
        "{pet} was the {animal} of {hero}. There was nothing {phe} liked more than {food}.",
        "{hero} and {pet} the {animal} did everything together.",
    ]);
    t.say(&[
        "One day, {pet} ran away to {place}. {Hero} looked for {phim} and called {phis} name.",
        "They went to {place}. A loud noise scared {pet}, and {phe} ran off.",
    ]);
    t.say(&[
        "Then {he} heard something. {pet} {voice}! {Phe} was stuck {spot}.",
        "At last {he} saw {phim}. {pet} was {spot} and could not get out. {Phe} {voice} sadly.",
    ]);
    t.say(&[
        "{Hero} tried with {a:poor}, but it did not work.",
        "First, {he} took {a:poor}. It was no good.",
        "\"Take this {poor},\" said {friend}. They tried, but the {poor} was too short.",
    ]);
    t.maybe(
        40,
        &[
            "{Hero} was close to tears.",
            "\"Do not be afraid, {pet},\" {he} said. \"I will help you.\"",
        ],
    );
    t.say(&[
        "Then {adult} came with {a:good}. That was a better idea.",
        "{friend} ran home and came back with {a:good}.",
        "\"We need {a:good},\" said {hero}. {Adult} had one.",
    ]);
    t.say(&[
        "With the {good}, they got {pet} out. {Phe} was safe!",
        "It worked! The {good} was just right, and soon {pet} was free.",
    ]);
    t.say(&[
        "{Hero} held {pet} close and gave {phim} {food}.",
        "{pet} {voice} happily. At home, {phe} got {food}.",
        "\"Thank you,\" said {hero}. And {pet} {voice}, which means thank you, too.",
    ]);
}

/// A seed is watered or forgotten, and grows or does not.
pub fn seed(t: &mut Telling) {
    let (seed, plant, gives) = *t.pick(lex::SEEDS);
    let days = 2 + t.below(5);
    t.set("seed", seed).set("plant", plant).set("gives", gives);
    t.set("days", lex::NUMBERS[days]);
    let patient = t.chance(60);
    t.say(&[
        "{adult} gave {hero} {seed}. \"Put it in the ground and give it water every day,\" {ahe} said.",
        "{hero} found {seed} in {his} pocket. {He} put it in the ground behind the house.",
        "In spring, {hero} and {friend} planted {seed}.",
    ]);
    t.maybe(
        50,
        &[
            "For {days} days, nothing happened.",
            "\"How long will it take?\" asked {hero}. \"Be patient,\" said {adult}.",
        ],
    );
    if patient {
        t.say(&[
            "Every morning, {hero} gave it water. {He} never forgot.",
            "{Hero} gave it water in the morning and sang to it at night.",
        ]);
        t.say(&["After {days} weeks, a small green leaf came up. {Hero} shouted with joy.", "Then, after {days} weeks, something green looked out of the ground. \"Come and see!\" {hero} called."]);
        t.say(&["It grew and grew. In summer it was {plant}.", "The leaf became {plant}."]);
        t.say(&[
            "It {gives}. {friend} could not believe it.",
            "\"Look, {friend}!\" said {hero}. It {gives}.",
        ]);
        t.say(&[
            "\"You took good care of it,\" said {adult}.",
            "{Hero} learned that good things take time.",
        ]);
    } else {
        t.say(&["At first {hero} gave it water, but then {he} forgot. {He} played with {friend} all day.", "{Hero} did not want to wait. After {days} days, {he} stopped giving it water."]);
        t.say(&[
            "The sun was hot, and the ground was dry. Nothing grew.",
            "{Days} weeks went by, and no leaf came up.",
        ]);
        t.say(&[
            "\"Why did it not grow?\" asked {hero}. \"It was thirsty,\" said {adult}.",
            "{Hero} was sad. \"I forgot it,\" {he} said in a low voice.",
        ]);
        t.say(&["{Adult} gave {him} one more seed. This time, {hero} gave it water every day, and it became {plant}.", "\"Try again,\" said {adult}. {Hero} did, and {he} did not forget. In the end, there was {plant}, and it {gives}."]);
    }
}

/// A race in which the quick one may stop to help.
pub fn race(t: &mut Telling) {
    let (place, goal) = *t.pick(lex::PLACES);
    t.set("place", place).set("goal", goal);
    t.draw("prize", lex::TOYS);
    let outcome = t.below(3);
    t.say(&[
        "There was a race at {place}. The first one at the {goal} would get {a:prize}.",
        "\"Let us race to the {goal}!\" said {friend}. \"The winner gets {a:prize},\" said {adult}.",
    ]);
    t.say(&[
        "{hero} wanted to win. {He} had trained all week.",
        "{hero} was {trait}, and {he} was fast as well.",
        "{friend} was very fast, and {hero} knew it.",
    ]);
    t.say(&[
        "{Adult} counted, \"One, two, three, go!\" And they ran.",
        "\"Ready? Go!\" said {adult}. They ran like the wind.",
    ]);
    match outcome {
        0 => {
            t.say(&[
                "{Hero} was in front. Then {he} heard a cry. {friend} had fallen down.",
                "Halfway there, {friend} fell over a root and hurt {fhis} knee.",
            ]);
            t.say(&["{Hero} stopped and went back. \"Are you hurt?\" {he} asked, and {he} gave {fhim} {his} hand.", "{Hero} could have won, but {he} turned around and helped {fhim} up."]);
            t.say(&["They walked to the {goal} together, hand in hand."]);
            t.say(&["\"You both win,\" said {adult}, and they shared the {prize}.", "{friend} said, \"You are the real winner.\" {Hero} got the {prize}, and they played with it together."]);
        }
        1 => {
            t.say(&[
                "{Hero} ran as fast as {he} could and never looked back.",
                "{friend} was faster at first, but then {fhe} got tired.",
            ]);
            t.say(&["{Hero} touched the {goal} first. {He} had won!"]);
            t.say(&[
                "{Adult} gave {him} the {prize}. \"Well done!\" said {friend}, and {fhe} meant it.",
                "{friend} was sad, so {hero} let {fhim} play with the {prize} too.",
            ]);
        }
        _ => {
            t.say(&[
                "{Hero} was sure that {he} would win, so {he} stopped to look at a butterfly.",
                "{Hero} ran well, but {friend} was faster.",
            ]);
            t.say(&[
                "When {hero} came to the {goal}, {friend} was already there. {friend} had won.",
            ]);
            t.say(&["{friend} got the {prize}. {Hero} was a little sad, but {he} said, \"Well done, {friend}!\"", "{Hero} wanted to be angry. Then {he} shook hands with {friend} and said, \"Next time I will win!\""]);
            t.say(&[
                "\"You are a good loser,\" said {adult}, and {ahe} gave {him} an apple.",
                "\"Let us race again tomorrow,\" said {friend}. And so they did.",
            ]);
        }
    }
}
