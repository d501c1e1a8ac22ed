"""Writes estimates.json: what reference implementations say about fixed data.

    python -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0
    venv/bin/python tests/golden/make_golden.py

The Rust side reads the file in engine/measure/golden.rs. Data come from a seeded generator and are
stored in the file, so a new version of numpy changes nothing silently.
"""

import itertools
import json
import pathlib

import numpy as np
import scipy
import statsmodels
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

RNG = np.random.default_rng(20261)
LEVELS = (0.9, 0.95, 0.96, 0.99)


def lognormal(n, sigma=0.3):
    return RNG.lognormal(0.0, sigma, n)


def t_distribution():
    probabilities = (1e-6, 0.005, 0.025, 0.1, 0.4, 0.5, 0.51, 0.8, 0.95, 0.975, 0.98, 0.9995, 0.999999)
    freedoms = (1, 2, 3, 4, 5, 9, 12, 29, 59, 100, 199, 500, 1000, 1999, 2001, 5000, 9999, 1e6)
    quantiles = [[p, df, stats.t.ppf(p, df)] for p in probabilities for df in freedoms]
    two_sided = [
        [t, df, 2 * stats.t.sf(abs(t), df)]
        for t in (0.01, 0.5, -1.0, 1.96, -2.5, 4.0, 10.0)
        for df in (1, 2, 5, 9, 29, 59, 199, 999)
    ]
    return quantiles, two_sided


def means():
    out = []
    for n in (2, 3, 10, 37):
        for level in LEVELS:
            v = lognormal(n)
            low, high = stats.t.interval(level, n - 1, loc=v.mean(), scale=stats.sem(v))
            out.append(dict(values=v.tolist(), level=level, point=v.mean(), low=low, high=high))
    return out


def skewnesses():
    return [
        dict(values=v.tolist(), skewness=float(stats.skew(v, bias=False)))
        for v in (lognormal(3), lognormal(10, 1.0), lognormal(40), -lognormal(15, 0.7))
    ]


def quantiles():
    """Without values the data are 1, 2, ..., n."""
    out = []
    for n in (1, 5, 6, 10, 35, 36, 99, 368, 1500):
        v = np.sort(lognormal(n)) if n <= 40 else np.arange(1.0, n + 1)
        for q in (0.1, 0.5, 0.9, 0.95, 0.99):
            for level in (0.9, 0.95, 0.99):
                found = stats.quantile_test(v, q=float(v[n // 2]), p=q).confidence_interval(level)
                bounds = [float(found.low), float(found.high)]
                out.append(dict(values=v.tolist() if n <= 40 else None, n=n, q=q, level=level,
                                point=float(np.quantile(v, q, method="linear")),
                                bounds=bounds if np.isfinite(bounds).all() else None))
    for n, q in ((20_000, 0.5), (20_000, 0.99), (200_000, 0.95)):
        binomial = stats.binom(n, q)
        out.append(dict(values=None, n=n, q=q, level=0.95,
                        point=float(np.quantile(np.arange(1, n + 1, dtype=float), q)),
                        bounds=[float(binomial.ppf(0.025)), float(binomial.isf(0.025)) + 1.0]))
    return out


def needs():
    """Smallest n with a two-sided interval, by trying every n."""
    out = []
    for q in (0.05, 0.5, 0.9, 0.95, 0.99, 0.999):
        for level in (0.9, 0.95, 0.99):
            tail = (1 - level) / 2
            n = next(n for n in itertools.count(1) if max(q, 1 - q) ** n <= tail)
            out.append([q, level, n])
    return out


def ranks_outside(n, tail):
    """Largest k with P(T+ <= k) <= tail, by listing every pattern of signs (exact for n <= 20)."""
    if n <= 20:
        totals = np.zeros(1, dtype=np.int64)
        for rank in range(1, n + 1):
            totals = np.concatenate([totals, totals + rank])
        counts = [int(c) for c in np.bincount(totals)]
    else:
        counts = [1]
        for rank in range(1, n + 1):
            longer = [0] * rank + counts
            counts = [a + b for a, b in zip(longer, counts + [0] * rank)]
    below, k = 0, -1
    for total, count in enumerate(counts):
        below += count
        if below / 2**n > tail:
            break
        k = total
    return k


def signed_ranks():
    out = []
    for n in (5, 6, 8, 10, 13, 20, 31, 60):
        for level in LEVELS:
            d = np.log(lognormal(n, 0.05)) + RNG.exponential(0.05, n)
            alpha = 1 - level
            k = ranks_outside(n, alpha / 2)
            bounds = None
            if k >= 0:
                walsh = np.sort([(d[i] + d[j]) / 2 for i in range(n) for j in range(i, n)])
                low, high = walsh[k], walsh[len(walsh) - 1 - k]
                bounds = [float(low), float(high)]
                # scipy's exact test rejects just outside the interval and not just inside it.
                for centre, rejects in ((low - 1e-9, True), (low + 1e-9, False),
                                        (high - 1e-9, False), (high + 1e-9, True)):
                    p = stats.wilcoxon(d - centre, method="exact").pvalue
                    assert (p <= alpha) == rejects, (n, level, p)
            out.append(dict(values=d.tolist(), level=level, bounds=bounds))
    return out


def detectable(t, nu):
    """Standard errors at which Z + c*S - t*S' is above 0 in four of five cases, S and S' estimated."""
    def short(c):
        spread = np.sqrt(1 + (c * c + t * t) / (2 * nu))
        return (c - t) * (1 - 1 / (4 * nu)) - stats.norm.ppf(0.8) * spread
    return optimize.brentq(short, t, 100 * t, xtol=1e-14)


def speedups():
    """Paired t on log ratios, bounds of the t interval only, with many blocks and little skew."""
    out = []
    for n in (15, 24, 60):
        base = lognormal(n, 0.03)
        variant = base / 1.25 * RNG.lognormal(0.0, 0.02, n)
        d = np.log(base / variant)
        assert abs(stats.skew(d, bias=False)) < 1
        test = stats.ttest_rel(np.log(base), np.log(variant))
        bounds = test.confidence_interval(0.95)
        s = d.std(ddof=1)
        mde = np.exp(detectable(stats.t.ppf(0.975, n - 1), n - 1) * s / np.sqrt(n))
        out.append(dict(pairs=np.column_stack([base, variant]).tolist(),
                        point=float(stats.gmean(base / variant)), low=float(np.exp(bounds.low)),
                        high=float(np.exp(bounds.high)), p_value=float(test.pvalue), sd_log=s,
                        mde=float(mde)))
    return out


def holms():
    out = []
    sets = [[0.01], [0.04, 0.03], [0.001, 0.02, 0.04, 0.6], [0.012, 0.013, 0.014, 0.011],
            [0.5, 0.0001, 0.013, 0.026, 0.049, 0.9], [0.0] * 3, [1.0] * 3]
    sets += [RNG.beta(0.3, 3.0, m).tolist() for m in (5, 8, 13)]
    for p in sets:
        for alpha in (0.05, 0.1):
            reject, adjusted, _, _ = multipletests(p, alpha=alpha, method="holm")
            out.append(dict(p=p, confidence=1 - alpha, reject=reject.tolist()))
            assert reject.tolist() == [bool(a <= alpha) for a in adjusted]
    return out


def ratios():
    """Linearized ratio of sums, written with means and covariances instead of residuals."""
    out = []
    for k in (2, 5, 30, 80):
        for level in LEVELS:
            x = RNG.integers(20, 400, k).astype(float)
            y = x * RNG.normal(2.5, 0.4, k)
            ratio = y.mean() / x.mean()
            c = np.cov(y, x, ddof=1)
            variance = (c[0, 0] - 2 * ratio * c[0, 1] + ratio**2 * c[1, 1]) / (k * x.mean() ** 2)
            half = stats.t.ppf((1 + level) / 2, k - 1) * np.sqrt(variance)
            out.append(dict(numerators=y.tolist(), denominators=x.tolist(), level=level,
                            point=ratio, low=ratio - half, high=ratio + half))
    return out


def wilsons():
    out = []
    for hits, n in ((0, 1), (0, 16), (16, 16), (1, 7), (5, 10), (250, 400), (399, 400), (9_973, 10_000)):
        for level in LEVELS:
            low, high = proportion_confint(hits, n, alpha=1 - level, method="wilson")
            out.append(dict(hits=hits, n=n, level=level, point=hits / n, low=float(low), high=float(high)))
    return out


def constrained_score(difference, better, worse, n):
    """Score statistic of H0: p_better - p_worse = difference, with the nuisance probability found by
    searching the likelihood of the trinomial instead of by Tango's closed form."""
    low, high = max(0.0, -difference), (1.0 - difference) / 2  # of p_worse

    def against(worse_p):
        better_p = worse_p + difference
        terms = ((better, better_p), (worse, worse_p), (n - better - worse, 1 - better_p - worse_p))
        return -sum(k * np.log(max(p, 1e-300)) for k, p in terms if k > 0)

    def slope(q):
        return (better / (q + difference) + worse / q
                - 2 * (n - better - worse) / (1 - difference - 2 * q))

    # The logarithm of the likelihood is concave: its top is where the slope vanishes, or at an end.
    span = high - low
    ends = (low + span * 1e-12, high - span * 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = slope(ends[0]) > 0 > slope(ends[1])
        found = optimize.brentq(slope, *ends, xtol=1e-16, rtol=1e-15) if inside else min((low, high), key=against)
    variance = (2 * found + difference - difference**2) / n
    return ((better - worse) / n - difference) / np.sqrt(variance)


def paired_scores():
    """Tango (1998) by inverting the score test; bounds are bracketed on a grid and then refined."""
    out = []
    for better, worse, n in ((0, 0, 16), (0, 0, 400), (1, 0, 50), (0, 7, 44), (3, 5, 60), (12, 9, 200),
                             (1, 43, 1000), (16, 0, 20), (2, 2, 5), (30, 10, 41)):
        point = (better - worse) / n
        for level in LEVELS:
            z = stats.norm.ppf((1 + level) / 2)
            bounds = []
            for side, end in ((1, -1.0), (-1, 1.0)):
                excess = lambda d: constrained_score(d, better, worse, n) - side * z
                grid = np.linspace(end * (1 - 1e-9), point, 400)[:-1]
                grid = np.append(grid, point + (end - point) * 1e-9)
                values = np.array([excess(d) for d in grid])
                turn = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
                assert len(turn) == 1, (better, worse, n, level, side, values)
                bounds.append(optimize.brentq(excess, grid[turn[0]], grid[turn[0] + 1], xtol=1e-15))
            out.append(dict(better=better, worse=worse, n=n, level=level, point=point,
                            low=bounds[0], high=bounds[1]))
    return out


def bootstraps():
    """scipy's BCa on given resamples: it is handed a distribution that was made from them."""
    out = []
    for n, resamples in ((12, 400), (30, 300)):
        v = np.sort(lognormal(n, 0.8))
        draws = RNG.integers(0, n, (resamples, n))
        means = v[draws].mean(axis=-1)
        intervals = []
        for level in LEVELS:
            kept = stats.bootstrap((v,), np.mean, n_resamples=2, method="BCa", rng=1)
            kept.bootstrap_distribution = means
            found = stats.bootstrap((v,), np.mean, n_resamples=0, bootstrap_result=kept, method="BCa",
                                    confidence_level=level).confidence_interval
            intervals.append([level, float(found.low), float(found.high)])
        out.append(dict(values=v.tolist(), draws=draws.tolist(), point=v.mean(), intervals=intervals))
    return out


def main():
    quantile, p = t_distribution()
    out = dict(
        versions=dict(numpy=np.__version__, scipy=scipy.__version__, statsmodels=statsmodels.__version__),
        t_quantiles=quantile, t_two_sided_p=p, means=means(), skewnesses=skewnesses(),
        quantiles=quantiles(), needs=needs(), signed_ranks=signed_ranks(), speedups=speedups(),
        holm=holms(), ratios=ratios(), wilsons=wilsons(), paired_scores=paired_scores(),
        bootstraps=bootstraps(),
    )
    lines = []
    for key, value in out.items():
        if isinstance(value, list):
            rows = ",\n".join("    " + json.dumps(row, allow_nan=False) for row in value)
            lines.append(f'  "{key}": [\n{rows}\n  ]')
        else:
            lines.append(f'  "{key}": {json.dumps(value)}')
    path = pathlib.Path(__file__).with_name("estimates.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
