"""How the measures of behavior are called on the pages of the IOI analysis."""

LABELS = {
    "logit_diff": "Logit difference, IO minus S",
    "accuracy": "IO above S",
    "top1": "IO is the top token",
    "probability": "Probability of IO",
    "rank": "Tokens ranked above IO",
    "answer_logit": "Logit of IO above the mean of the other names",
    "foil_logit": "Logit of S above the mean of the other names",
}
"""Measure of behavior -> its label on the page."""
