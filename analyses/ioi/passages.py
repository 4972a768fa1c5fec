"""The words of docs/ioi.md: what the paper asks, does and finds, without numbers of ours.

The file is longer than most, since it is the text of a page.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """A passage of the story.

    Args:
        title: its heading
        words: what the paper asks, does and finds, without numbers of ours
        part: part of `interp ioi` whose figures are in the table, or "behavior" or "faithfulness";
            "" for none
        section: heading of the report's section whose figures are shown; "" for that of the part
        figures: which of them, by index
        keys: prefixes of the keys of the paper's figures in this chapter; figures that were not
            measured are in the table too
    """

    title: str
    words: str
    part: str
    section: str = ""
    figures: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()


PASSAGES = (
    Passage(
        "The task",
        "A sentence names two people, then one of them again, who gives something away: *When Mary "
        "and John went to the store, John gave a drink to …*. The one who was named once, the "
        "indirect object IO, is right; the one who was named twice, the subject S, is wrong. Three "
        "steps solve it: find all names, strike out the one that came twice, say the other. The "
        "measure is the logit difference, IO minus S, at the last token, END (section 2).",
        "behavior",
        keys=("logit_diff", "accuracy", "io_probability"),
    ),
    Passage(
        "Who writes the answer",
        "Take the output of one head from a run on the ABC partner, the same sentence with three "
        "fresh names, and let it go to the logits alone: other heads stay as they were, MLPs and "
        "layer norms are computed again. If the logit difference falls, the head wrote the answer. "
        "In GPT-2 small three heads stand out, 9.9, 9.6 and 10.0, and two write against it, 10.7 "
        "and 11.10 (section 3.1).",
        "",
        "Which heads write the answer",
        (0,),
    ),
    Passage(
        "Name movers copy what they look at",
        "Such a head should look from END to IO, and the more it looks at a name, the more it "
        "should write that name. If it looked at one name alone, what it would write (its OV "
        "circuit) should be that name. The paper finds both: correlations above 0.81, copy scores "
        "over 95 % (section 3.1). A model may also fetch the name before END and carry it along; "
        "then its heads at END look at the carrying token, not at IO.",
        "name-movers",
        figures=(0,),
        keys=("attention_io", "correlation", "copy_", "anti_copy_"),
    ),
    Passage(
        "What tells them where to look",
        "The same question one step earlier: which heads change the answer by way of the name "
        "movers' queries? In GPT-2 small 7.3, 7.9, 8.6 and 8.10 do. They look from END to S2 and "
        "make the name movers look away from S: S-inhibition (section 3.2).",
        "s-inhibition",
        figures=(0,),
        keys=("attention_s2",),
    ),
    Passage(
        "Which name, and where it stood",
        "S-inhibition could say which name to avoid, or which place. Six texts, with names or "
        "order changed so that one signal, both or neither is reversed, separate the two. In "
        "GPT-2 small the place says more than the name: the fit is 2.31 for the position and 0.99 "
        "for the token (appendix A). The place comes from duplicate-token and induction heads: "
        "their outputs from texts with another place lose at least 88 % of what S-inhibition's "
        "do, those with another name less than 8 % (section 3.3).",
        "signals",
        figures=(0,),
        keys=("signal_", "located_"),
    ),
    Passage(
        "How the second mention is noticed",
        "S-inhibition reads, at S2, what duplicate-token heads (which look from S2 to S1) and "
        "induction heads (which look from S2 to S1+1) wrote there; the induction heads need "
        "previous-token heads, which write S1 into S1+1 (section 3.3). Three more heads, which "
        "look less sharply, act through the keys of the S-inhibition heads: 0.10, 5.8 and 5.9 "
        "(appendix C).",
        "early-heads",
    ),
    Passage(
        "The same heads on random tokens",
        "If these are duplicate-token, induction and previous-token heads, they should behave as "
        "such on text that has nothing to do with names, such as repeated random tokens (section "
        "3.3). There, induction heads should also write what came next; in GPT-2 small, 5.5 and "
        "6.9 are among the 20 heads that do so most (appendix H).",
        "random-tokens",
    ),
    Passage(
        "Backups",
        "Knock out the name movers, and GPT-2 small loses only 5 % of the logit difference: "
        "others, silent before, take over. They are part of the circuit that no test of single "
        "heads can find (section 3.4). Four of the eight look at IO as name movers do, two at "
        "both names alike, one at S1, one at S2 (appendix F).",
        "backups",
        figures=(0,),
        keys=("without_name_movers",),
    ),
    Passage(
        "MLPs",
        "In GPT-2 small no MLP but the first matters alone; without it, S ranks above IO, and so "
        "it does without all the others together (appendix J).",
        "mlps",
        keys=("without_mlps",),
    ),
    Passage(
        "Is the circuit enough?",
        "Faithfulness: set every head outside the circuit, at every position, to its mean over the "
        "ABC partners of the same template and order; keep each head of the circuit at its own "
        "position. GPT-2 small keeps 87 % of its logit difference with 26 of its 144 heads "
        "(section 4).",
        "faithfulness",
        keys=("faithfulness",),
    ),
    Passage(
        "Is it all of it?",
        "Completeness: take a set K out of the circuit and out of the model. If the circuit is "
        "all there is, the two break alike. K is a class of heads, a random set, or a set that a "
        "greedy search chose to separate the two (section 4.1).",
        "completeness",
        figures=(0,),
        keys=("circuit_without_", "full_without_", "naive_", "gap_"),
    ),
    Passage(
        "Is there too much in it?",
        "Minimality: for every head there should be a set K without which the head matters. The "
        "paper finds at least 1 % of F(M) for each (section 4.2).",
        "minimality",
        figures=(0,),
        keys=("minimality",),
    ),
    Passage(
        "Prompts that mislead",
        "If the model strikes out whoever came twice, then naming IO once more should mislead it, "
        "and naming S once more should not. This is what happens: GPT-2 small prefers S in 23.4 % "
        "of the first and 0.4 % of the second, compared with 0.7 % of plain prompts; the logit "
        "differences are 1.23, 3.64 and 3.55 (section 4.4).",
        "adversarial",
        keys=("adversarial_",),
    ),
)
