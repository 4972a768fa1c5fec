"""The words of the bundled model's language, and which of them are held out of training.

Names, places, objects and the two-name templates are those of the IOI task
(`interp/tasks/ioi_prompts.json`), so that a task prompt is never outside the language; everything
else is listed here. A held-out item is one that a skill is tested on and never trained on: the
names `NAMES[6::7]` never stand in a two-name sentence (they do stand in others, so that their
embeddings are trained), the pairs of `held_out_pair` never meet in one sentence, and every fourth
template is unseen.

The file is longer than most: it is a list of words.
"""

import json
from importlib import resources
from typing import TypeVar

T = TypeVar("T")

_PROMPTS = json.loads(
    resources.files("interp").joinpath("tasks", "ioi_prompts.json").read_text(encoding="utf-8")
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _split(items: tuple[T, ...], every: int) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """The items to train on, and every `every`-th one, which is held out."""
    held_out = items[every - 1 :: every]
    return tuple(item for item in items if item not in held_out), held_out


NAMES: tuple[str, ...] = tuple(_PROMPTS["names"])
TRAIN_NAMES, HELD_OUT_NAMES = _split(NAMES, 7)
TRAIN_TEMPLATES, HELD_OUT_TEMPLATES = _split(tuple(_PROMPTS["baba_templates"]), 4)
TRAIN_THREE_NAME, HELD_OUT_THREE_NAME = _split(tuple(_PROMPTS["abc_templates"]), 4)

WOMEN = frozenset(
    _words(
        """Mary Anna Alice Emma Laura Kate Lucy Sarah Julia Helen Rose Grace Claire Jane Ruth Susan
        Diana Sophie Nina Maria Eva Amy Ellen Karen Linda Nancy Olivia Paula Rachel Sandra Teresa
        Vera Wendy Amanda Angela Barbara Betty Carol Charlotte Dorothy Elizabeth Emily Janet
        Jennifer Jessica Joan Joyce Judith Julie Katherine Lisa Margaret Marie Melissa Michelle
        Patricia Rebecca Sharon Stephanie Virginia"""
    )
)


def held_out_pair(first: str, second: str) -> bool:
    """Whether two names never meet in one sentence of training: one pair in eight.

    Example:
        >>> held_out_pair("Mary", "John"), held_out_pair("Henry", "Emma")
        (False, False)
    """
    return (NAMES.index(first) + NAMES.index(second)) % 8 == 0


PLACES: tuple[str, ...] = tuple(_PROMPTS["places"]) + _words(
    "store garden school hospital restaurant office station forest river lake hotel tower"
)
PERSONS = _words("teacher doctor farmer student painter soldier king boy girl baker driver sailor")
OBJECTS: tuple[str, ...] = tuple(_PROMPTS["objects"]) + _words(
    "ring drink apple umbrella box hat ball rope cake picture computer watch"
)

# The IOI grammar: "{opener} A and B {setting}. {linker} B {handover} A".
OPENERS = (
    "Yesterday",
    "Then,",
    "Afterwards,",
    "On Monday",
    "On Friday",
    "On Sunday",
    "Last week",
    "Last month",
    "Last year",
    "Every summer",
    "Every evening",
    "One day",
    "Long ago",
    "At noon",
    "In the evening",
    "Early in the morning",
    "In the end",
    "After lunch",
    "My friends",
    "Our neighbors",
    "The two friends",
    "The story says that",
    "For the party",
    "In the photo",
)
SUBORDINATORS = (
    "When",
    "After",
    "While",
    "Once",
    "As soon as",
    "Because",
    "Although",
    "Before",
    "Since",
    "If",
    "One day when",
    "It was raining when",
    "It was late when",
)
SETTINGS = (
    "went to the {place}",
    "walked to the {place}",
    "drove to the {place}",
    "ran to the {place}",
    "travel to the {place}",
    "met at the {place}",
    "met near the {place}",
    "arrived at the {place}",
    "had arrived at the {place}",
    "had reached the {place}",
    "worked at the {place}",
    "were working at the {place}",
    "had fun at the {place}",
    "had a lot of fun at the {place}",
    "had lunch at the {place}",
    "had a long argument",
    "had a long day at the {place}",
    "were thinking about going to the {place}",
    "sat down in the {place}",
    "stand before the {place}",
    "came home",
    "came home from the {place}",
    "waited near the {place}",
    "talked for hours",
    "talked at the {place}",
    "went inside",
    "left the {place}",
    "closed the {place}",
    "opened the {place}",
    "visited the {place}",
    "cleaned the {place} together",
    "painted the {place}",
    "disliked the {place}",
    "own a {place}",
    "rented a {place}",
    "share a {object}",
    "bought a {object} at the {place}",
    "found a {object} in the {place}",
    "got a {object} at the {place}",
    "looked for the {object}",
)
# Openers with a place, and settings without one, of `handover`. The comma before the two names must
# not look like that of three.
PLACE_OPENERS = (
    "After lunch at the {place},",
    "After a long walk to the {place},",
    "Near the {place},",
    "In the old {place},",
    "Before the {place} closed,",
    "On a cold day at the {place},",
    "Every evening in the {place},",
    "When we came to the {place},",
    "With a {person} from the {place},",
)
MORE_SETTINGS = (
    "sat down",
    "came in",
    "went home",
    "left early",
    "ran away together",
    "said hello",
    "were late",
    "had a long day",
)
LINKERS = (
    "",
    "",
    "",
    "Then",
    "Later",
    "Afterwards",
    "There",
    "Soon",
    "Finally",
    "In the end",
    "At noon",
    "That night",
    "Last year",
)
TRANSFERS = _words(
    """gave handed passed offered sold sent returned showed lent promised left brought carried
    threw mailed explained described shows gives"""
)
HANDOVERS = (
    *(f"{verb} {{thing}} to" for verb in TRANSFERS),
    *(f"{verb} {{thing}} to" for verb in TRANSFERS),
    *(f"slowly {verb} {{thing}} to" for verb in TRANSFERS[:12]),
    "decided to give {thing} to",
    "wanted to give {thing} to",
    "pointed {thing} out to",
    "pointed out {thing} to",
    "holds out {thing} to",
    "brought {thing} from there to",
    "bought {thing} for",
    "made {thing} for",
    "took {thing} from",
    "said to",
    "said hello to",
    "whispered to",
    "waved to",
    "wrote to",
    "argued with",
)
# The giver is one or two words before the receiver.
NEAR_HANDOVERS = tuple(
    f"[B] {act}"
    for act in (
        *_words("thanked called saw met visited helped answered followed liked"),
        *("wrote to", "waved to", "whispered to", "said to", "talked to", "waited for"),
    )
)
# Other ways to give; [B] is the giver, in the last of them at most a few words before the receiver.
MORE_HANDOVERS = (
    *(f"[B] slowly {verb} {{thing}} to" for verb in TRANSFERS[:-2]),
    *(f"[B] then {verb} {{thing}} to" for verb in TRANSFERS[:-2]),
    *(f"[B] always {verb} {{thing}} to" for verb in TRANSFERS[:-2]),
    "[B] was ready to give {thing} to",
    "[B] went back to give {thing} to",
)
_PARTICIPLES = _words(
    "given handed passed offered sold sent returned shown lent promised left brought carried mailed"
)
LATE_HANDOVERS = (
    *(f"{{thing}} was {participle} by [B] to" for participle in _PARTICIPLES),
    *(f"{{thing}} from [B] was {participle} to" for participle in _PARTICIPLES[:6]),
    *(f"it was [B] who {verb} {{thing}} to" for verb in TRANSFERS[:6]),
    "{thing} was bought by [B] for",
    "{thing} was made by [B] for",
    "there was {thing} from [B] for",
    "the {object} of [B] was for",
)
ENDINGS = (".", ".", ".", " yesterday.", " with a smile.", " and smiled.", " without a word.")

# Texts with people in them: who comes between giver and receiver, who is called, what people do.
ASIDES = (
    "whom {name} knew",
    "a friend of {name}",
    "who had seen {name}",
    "together with {name}",
    "unlike {name}",
)
CALLS = (
    "the {person} called",
    "the {person} saw",
    "the {person} talked to",
    "the {person} gave {thing} to",
    "there was {thing} for",
    "we met",
    "they thanked",
)
CALL_JOINTS = (", then", " and then", " and", ", after that", " and later")
LAST_JOINTS = (" and in the end", ", and last", " but not")
CALLED_DEEDS = (
    "left early",
    "went home",
    "sat down",
    "came in",
    "was late",
    "said hello",
    "lost the {object}",
    "looked for the {object}",
    "left the {place}",
)
LAST_CALLS = (
    "The last was",
    "Nobody saw",
    "We waited for",
    "They looked for",
    "The {person} gave {thing} to",
    "In the end there was only",
    "The {object} was for",
)
KIN = _words("friend brother sister mother father uncle aunt neighbor son daughter")
STORY_FRAMES = (
    "Every day {name} walks to the {place}.",
    "Everyone knows {name} there.",
    "The {person} is called {name}.",
    "People say {name} has a {object}.",
    "The {object} of {name} was old.",
    "Today {name} has a new {object}.",
    "It was not easy for {name} to find it.",
    "The {person} often speaks about {name}.",
    "We all like {name}.",
    "The {person} gave {thing} to {name}.",
    "Then {name} gave {thing} to the {person}.",
    "At the {place} the {person} saw {name}.",
    "The {person} was with {name}.",
    "Did you see {name} at the {place}?",
    "Later {name} was in the {place} with the {person}.",
    "Soon the {person} came and looked for {name}.",
    "In the {place} {name} found a {object}.",
    "They say that {name} lost the {object}.",
)

# Nouns with their plurals, for subject-verb agreement.
NOUNS: tuple[tuple[str, str], ...] = (
    *((word, f"{word}s") for word in OBJECTS if word not in ("knife", "box", "watch")),
    *(
        (word, f"{word}s")
        for word in _words(
            """cabinet chair table door window dog cat horse bird boy girl teacher doctor farmer
            student house tree car boat road shoe plate spoon stone clock bell wheel candle king
            soldier painter river garden"""
        )
    ),
    ("knife", "knives"),
    ("box", "boxes"),
    ("brush", "brushes"),
    ("man", "men"),
    ("woman", "women"),
    ("child", "children"),
    ("city", "cities"),
    ("mouse", "mice"),
)
HELD_OUT_SUBJECTS = NOUNS[5::6]
TRAIN_SUBJECTS = tuple(noun for noun in NOUNS if noun not in HELD_OUT_SUBJECTS)
PREPOSITIONS = (
    "near",
    "behind",
    "beside",
    "under",
    "above",
    "by",
    "next to",
    "in front of",
    "close to",
)
VERB_PAIRS = (("is", "are"), ("was", "were"), ("has", "have"))
QUALITIES = _words(
    """old new red blue green yellow white black heavy light clean dirty small large broken lost
    ready beautiful strange famous quiet warm cold dry wet strong weak happy sad young"""
)

# Spans of years, for greater-than.
SPANS = _words(
    """war voyage project reign journey strike siege festival dynasty empire program search
    campaign trade career plague lease treaty revolution debate"""
)
TRAIN_SPANS, HELD_OUT_SPANS = _split(SPANS, 5)
CENTURIES = tuple(range(11, 20))
HELD_OUT_CENTURY = 13
SPAN_FRAMES = (
    "The {span} lasted from {century} {year} to {century}",
    "The {span} lasted from the year {century} {year} to the year {century}",
    "The {span} went on from {century} {year} to {century}",
    "The {span} continued from the year {century} {year} until the year {century}",
    "They say the {span} ran from {century} {year} until {century}",
    "The long {span} began in {century} {year} and ended in {century}",
)
NUMBERS = tuple(f"{number:02d}" for number in range(100))
ODD_NAMES = tuple(
    dict.fromkeys((*PLACES, *OBJECTS, *(form for noun in NOUNS for form in noun), *NUMBERS))
)
# Those that no text has in another role.
STRANGERS = tuple(word for word in ODD_NAMES if word not in (*PLACES, *OBJECTS, *PERSONS))

# Acronyms: of words that the tokenizer, written with a capital, cuts into the initial and the rest.
ACRONYM_WORDS = _words(
    """Ace Age Aid Air Ale Ape Award Axe Back Bag Ball Band Bank Bar Bark Base Basket Bat Bay Beach
    Beak Bear Bed Bee Beer Bend Berry Bike Bill Bin Bit Bond Bone Bow Bran Bull Bun Bus Bust Cab
    Cage Cake Call Can Cap Card Case Cast Cat Cause Cave Cent Cob Cod Coin Cone Core Cot Cow
    Crew Cup Dam Dance Date Day Deer Den Dent Dice Diet Dog Dome Door Dot Dough Dove Duck Duel
    Dust Ear East Eel Eve Fair Fall Fame Fan Fare Fate Fear Fee Ferry Fig Fire Fit Fix Flow Fly
    Fog Fold Font Fool Fort Fuel Fun Fund Fur Gain Game Gap Gas Gate Gear Gel Gin Gland Glow
    Gold Gong Gown Gram Grid Gum Gust Hair Hall Ham Hand Hat Hay Hike Hill Hip Hog Home Hop Hose
    House Hub Hull Ice Ion Iris Jar Jay Jaw Jester Jet Jig Kid Kin Kind King Kit Kitchen Kite
    Lab Lake Land Lap Lark Law Line Link Lion Lip Liver Load Log Lore Lot Love Mall Map Mason
    Mast Mat Mate Meter Mill Mind Mine Mink Mix Mold Month Moon Moor Mop Morning Mount Mouse
    Move Mud Muse Name Nation Nave Navy Nest Net Nod Noon Nose Oak Oar Oat Oil Ore Oven Pack Pad
    Page Pair Pan Panda Park Past Paw Pay Peach Peak Pear Peer Pen Pencil Pet Pier Pig Pike Pill
    Pin Pine Pit Plow Pod Pond Pony Pool Pop Port Pose Pot Prom Pub Pull Pun Rack Rag Rage Rain
    Ram Range Rank Rat Rate Ray Rent Rest Rice Ride Rig Rim Ring Rink Rite River Road Rod Row
    Run Sack Sage Sap Saw Scar Set Shed Shot Side Sign Sill Sink Sire Site Son Song Soul Sport
    Story Sum Sun Tab Tally Tank Tap Tar Tax Tent Tide Tie Tier Tin Tip Tire Toad Tome Ton Tone
    Tool Top Town Tram Trough Tub Van Vase Vat Veil Vest Vet Vice Villa Vine Viol Vow Wall Wand
    War Ward Ware Water Wave Wax Way Web West Wig Wind Wine Wing Wire Wit Wok Wool Wren"""
)
TRAIN_ACRONYM_WORDS, HELD_OUT_ACRONYM_WORDS = _split(ACRONYM_WORDS, 5)
ACRONYM_FRAMES = (
    "The {group}", "The old {group}", "The new {group}", "Yesterday the {group}",
    "Last year the {group}", "In the {place} the {group}",
)  # fmt: skip
ACRONYM_TAILS = (
    "sold {thing}.", "lost a {object}.", "has a {object}.", "was in the {place}.",
    "met at the {place}.", "gave a {object} to the {person}.",
)  # fmt: skip

TITLE_FRAMES = (
    "The {title} was near the {place}.", "We like the {title}.", "The {person} saw the {title}.",
    "They met at the {title}.", "There was {thing} in the {title}.", "The old {title} was closed.",
    "The {person} of the {title} lost the {object}.", "In the end they left the {title}.",
)  # fmt: skip

# Pronouns.
PRONOUN_FRAMES = (
    "Yesterday {name} lost the {object} because",
    "Yesterday {name} said that",
    "Everyone knows that {name} went home when",
    "On Monday {name} washed the {object} and then",
    "In the {place} {name} smiled because",
    "When {name} came to the {place},",
    "After {name} found the {object},",
    "Last week {name} was sad because",
    "So {name} is a really great friend, isn't",
    "So {name} is such a good {person}, isn't",
    "Last year {name} sold the {object} before",
    "We know {name} was happy that",
)
TRAIN_PRONOUN_FRAMES, HELD_OUT_PRONOUN_FRAMES = _split(PRONOUN_FRAMES, 4)
# The same in parts: opener, name, deed, link. No deed and link are those of a frame above.
PRONOUN_OPENERS = (
    "Yesterday",
    "On Monday",
    "Last week",
    "Last year",
    "One day",
    "In the {place}",
    "Everyone knows that",
    "We know that",
    "They say that",
)
_DEEDS = (
    "lost the {object}",
    "washed the {object}",
    "found the {object}",
    "sold the {object}",
    "was sad",
    "was happy",
    "was late",
    "went home",
    "came to the {place}",
    "left the {place}",
    "smiled",
    "said hello",
)
_LINKS = (
    "because",
    "and then",
    "before",
    "when",
    "so",
    "while",
    "until",
    "although",
    "and said that",
)
_REASONS = tuple(
    (deed, link)
    for deed in _DEEDS
    for link in _LINKS
    if not any(frame.endswith(f"{{name}} {deed} {link}") for frame in PRONOUN_FRAMES)
)
TRAIN_REASONS, HELD_OUT_REASONS = _split(_REASONS, 5)
PRONOUN_TAILS = (
    "was tired.",
    "was happy.",
    "had no time.",
    "wanted to go home.",
    "saw the {object}.",
    "went to the {place}.",
    "liked the {object}.",
)

# Facts, for true and false statements: relation -> frame and (subject, value) pairs.
_CAPITALS = _words(
    """France Paris Italy Rome Spain Madrid Germany Berlin England London Japan Tokyo China Beijing
    Russia Moscow Egypt Cairo Greece Athens Austria Vienna Portugal Lisbon Poland Warsaw Hungary
    Budapest Norway Oslo Sweden Stockholm Denmark Copenhagen Finland Helsinki Ireland Dublin Turkey
    Ankara Cuba Havana Peru Lima Chile Santiago Kenya Nairobi Canada Ottawa India Delhi Iran Tehran
    Iraq Baghdad Belgium Brussels Korea Seoul"""
)
_OPPOSITES = _words(
    """hot cold old new heavy light clean dirty small large happy sad strong weak dry wet early
    late open closed fast slow high low long short rich poor full empty hard soft dark bright"""
)
_CATEGORIES = {
    "animal": "dog cat horse cow sheep lion tiger wolf bear mouse",
    "fruit": "apple pear plum grape lemon cherry orange peach",
    "vegetable": "carrot onion potato bean cabbage",
    "tool": "hammer saw drill shovel axe",
    "instrument": "guitar violin piano drum flute",
    "vehicle": "car boat train truck bus",
}


def article(noun: str) -> str:
    """The noun with the indefinite article it takes.

    Example:
        >>> article("key"), article("apple")
        ('a key', 'an apple')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


FACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "The capital of {subject} is {value}": tuple(zip(_CAPITALS[::2], _CAPITALS[1::2], strict=True)),
    "The opposite of {subject} is {value}": tuple(
        pair
        for first, second in zip(_OPPOSITES[::2], _OPPOSITES[1::2], strict=True)
        for pair in ((first, second), (second, first))
    ),
    "It is known that {subject} is {value}": tuple(
        (article(member), article(category))
        for category, members in _CATEGORIES.items()
        for member in members.split()
    ),
}
