"""Which of many effects are real: tests over prompts, with the false-discovery rate bounded.

An effect counts if its mean over all prompts that could be drawn exceeds a smallest size d, on
either side of zero. With m and s the mean and standard error over n prompts and T Student's
distribution,

    p = P(T > (|m| - d) / s) + P(T > (|m| + d) / s),     n - 1 degrees of freedom,

is the largest probability of such a mean if the true one is within d (the usual two-sided test at d
= 0). Of the m tests of a family, ordered by p, the i-th has Benjamini and Hochberg's q value

    q_i = min over j >= i of m p_j / j,

and accepting all with q_i <= fdr keeps the expected fraction of false discoveries among them below
fdr, if the tests are independent or positively dependent. Tests of heads on the same prompts need
not be either; for them the bound is customary, not proved.

Source: Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57.
"""

import numpy as np
from jaxtyping import Float


def effect_p_values(
    effects: Float[np.ndarray, "test prompt"], *, smallest: float = 0.0
) -> Float[np.ndarray, " test"]:
    """P value of each mean, if the true effect is no larger than the smallest that counts.

    Args:
        effects: one value per prompt along the last axis
        smallest: the size up to which an effect does not count, in the unit of the effects

    Returns:
        The p values. Effects that are the same on every prompt have p = 0 or 1.

    Raises:
        ValueError: there are fewer than two prompts, or `smallest` is negative

    Example:
        >>> effect_p_values(np.array([[1.0, 1.2, 0.8, 1.0], [1.0, -1.0, 1.0, -1.0]])).round(4)
        array([0.0012, 1.    ])
    """
    from scipy import stats  # slow to import

    n = effects.shape[-1]
    if n < 2 or not smallest >= 0:
        raise ValueError(
            f"a test needs at least 2 prompts and a smallest effect of at least 0; got {n} and "
            f"{smallest}"
        )
    values = np.asarray(effects, dtype=np.float64)
    size, error = np.abs(values.mean(-1)), values.std(-1, ddof=1) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (size - smallest) / error, (size + smallest) / error
    near = np.where(np.isnan(near), -np.inf, near)  # an effect of exactly 0, with smallest = 0
    far = np.where(np.isnan(far), np.inf, far)
    return np.minimum(stats.t.sf(near, n - 1) + stats.t.sf(far, n - 1), 1.0)


def q_values(
    p: Float[np.ndarray, " test"], *, family: int | None = None
) -> Float[np.ndarray, " test"]:
    """The smallest false-discovery rate at which each test of a family counts as a discovery.

    Args:
        p: the p values of all tests that were made, whatever their outcome
        family: number of tests, of which those not in `p` count with a p value of 1; by default the
            number in `p`

    Returns:
        Benjamini and Hochberg's adjusted p values.

    Example:
        >>> q_values(np.array([0.01, 0.5, 0.02, 0.9])).round(3).tolist()
        [0.04, 0.667, 0.04, 0.9]
    """
    from scipy import stats  # slow to import

    rest = np.ones((family or len(p)) - len(p))
    return stats.false_discovery_control(np.concatenate([p, rest]))[: len(p)]
