"""Writes estimates.json: what reference implementations say about fixed data.

    python -m venv venv
    venv/bin/pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0 diptest==0.12.0
    venv/bin/python tests/golden/make_golden.py

The Rust side reads the file in engine/measure/golden.rs. Data come from a seeded generator and are
stored in the file, so a new version of numpy changes nothing silently.
"""

import itertools
import json
import pathlib

import diptest
import numpy as np
import scipy
import statsmodels
from scipy import optimize, special, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

RNG = np.random.default_rng(20261)
# Later sections draw from generators of their own, so that a new one changes no number of another.
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


def incomplete_betas():
    """scipy's implementation, checked against its complement."""
    out = []
    for a, b in ((0.5, 0.5), (1, 7), (4.5, 30), (200, 3), (50.5, 50.5), (990, 11), (5000.5, 5000.5), (99_000, 1001)):
        mean, sd = a / (a + b), np.sqrt(a * b / (a + b + 1)) / (a + b)
        for x in (mean - 4 * sd, mean - sd, mean, mean + 1.5 * sd, 0.3):
            if 0 < x < 1:
                value, rest = special.betainc(a, b, x), special.betaincc(a, b, x)
                assert abs(value + rest - 1) < 1e-12
                if value > 1e-200:
                    out.append([float(x), a, b, float(value)])
    return out


def normals():
    """z, its probability, and the quantile of that very number."""
    return [[z, float(special.ndtr(z)), float(special.ndtri(special.ndtr(z)))]
            for z in (-9.0, -5.5, -3.1, -2.9, -1.959963984540054, -0.7, -0.01, 0.25, 1.0, 2.5)]


def fiellers(rng):
    out = []
    for n in (3, 8, 25):
        for level in (0.9, 0.95):
            y = rng.normal(10.0, 2.0, n)
            x = 1.4 * y + rng.normal(0.0, 1.0, n)
            t = stats.t.ppf((1 + level) / 2, n - 1)
            # The bounds are the roots of (X - rY)^2 = t^2 var(X - rY), a quadratic in r.
            c = np.cov(x, y, ddof=1) / n
            a = y.mean() ** 2 - t**2 * c[1, 1]
            b = -2 * (x.mean() * y.mean() - t**2 * c[0, 1])
            q = x.mean() ** 2 - t**2 * c[0, 0]
            bounded = a > 0
            low, high = sorted(np.roots([a, b, q])) if bounded else (None, None)
            out.append(dict(x=x.tolist(), y=y.tolist(), level=level, point=x.mean() / y.mean(),
                            bounds=[float(low), float(high)] if bounded else None))
    y = np.array([1.0, -2.0, 4.0, 0.5])
    x = np.array([1.0, 2.0, 3.0, 4.0])
    out.append(dict(x=x.tolist(), y=y.tolist(), level=0.95, point=x.mean() / y.mean(), bounds=None))
    return out


def welches(rng):
    out = []
    for n, m in ((2, 2), (5, 12), (30, 11)):
        for level in (0.9, 0.95):
            older, newer = rng.lognormal(0.2, 0.1, n), rng.lognormal(0.0, 0.04, m)
            test = stats.ttest_ind(np.log(older), np.log(newer), equal_var=False)
            bounds = test.confidence_interval(level)
            out.append(dict(older=older.tolist(), newer=newer.tolist(), level=level,
                            point=float(stats.gmean(older) / stats.gmean(newer)),
                            low=float(np.exp(bounds.low)), high=float(np.exp(bounds.high)),
                            df=float(test.df), p=float(test.pvalue)))
    return out


def wilcoxons(rng):
    out = []
    for n in (1, 4, 9, 16, 40, 120):
        d = rng.normal(0.2, 1.0, n)
        out.append(dict(values=d.tolist(), p=float(stats.wilcoxon(d, method="exact").pvalue)))
    for n in (12, 60):
        d = np.round(rng.normal(0.3, 1.0, n), 1)  # with ties and zeros
        test = stats.wilcoxon(d, zero_method="wilcox", correction=False, method="asymptotic")
        out.append(dict(values=d.tolist(), p=float(test.pvalue)))
    return out


def sign_flips(rng):
    out = []
    for n in (2, 5, 8, 12, 16):
        d = rng.normal(0.3, 1.0, n)
        test = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf)
        out.append(dict(values=d.tolist(), p=float(test.pvalue)))
    return out


def mcnemars():
    pairs = ((0, 1), (0, 6), (3, 9), (9, 3), (40, 61), (500, 430))
    return [[b, c, float(mcnemar([[7, b], [c, 5]], exact=True).pvalue)] for b, c in pairs]


def clopper_pearsons():
    out = []
    for k, n in ((0, 1), (0, 12), (1, 12), (12, 12), (3, 40), (250, 400), (2, 100_000)):
        for level in LEVELS:
            low, high = stats.binomtest(k, n).proportion_ci(level, method="exact")
            other = proportion_confint(k, n, alpha=1 - level, method="beta")
            assert np.allclose((low, high), np.nan_to_num(other, nan=float(k == n)), rtol=1e-9)
            # scipy's root finder stops at 1e-12; the quantile of the beta distribution does not.
            tail = (1 - level) / 2
            low = 0.0 if k == 0 else stats.beta.ppf(tail, k, n - k + 1)
            high = 1.0 if k == n else stats.beta.isf(tail, k + 1, n - k)
            out.append(dict(hits=k, n=n, level=level, point=k / n, low=float(low), high=float(high)))
    return out


def newcombes():
    """Method 10 of Newcombe (1998), written with the correlation of two indicators."""
    out = []
    for both, better, worse, neither in ((36, 12, 2, 0), (20, 3, 5, 32), (300, 12, 9, 79), (16, 0, 0, 0),
                                         (0, 20, 0, 5), (5, 9, 8, 3)):
        n = both + better + worse + neither
        for level in LEVELS:
            own, reference = (both + better) / n, (both + worse) / n
            l1, u1 = proportion_confint(both + better, n, alpha=1 - level, method="wilson")
            l2, u2 = proportion_confint(both + worse, n, alpha=1 - level, method="wilson")
            det = both * neither - better * worse
            det = max(det - n / 2, 0) if det > 0 else det
            scale = n**2 * np.sqrt(own * (1 - own) * reference * (1 - reference))
            phi = det / scale if scale > 0 else 0.0
            diff = own - reference
            down = np.sqrt((own - l1) ** 2 - 2 * phi * (own - l1) * (u2 - reference) + (u2 - reference) ** 2)
            up = np.sqrt((reference - l2) ** 2 - 2 * phi * (reference - l2) * (u1 - own) + (u1 - own) ** 2)
            out.append(dict(counts=[both, better, worse, neither], level=level, point=diff,
                            low=diff - down, high=diff + up))
    return out


def benjamini_hochbergs(rng):
    sets = [[0.01], [0.04, 0.03], [0.001, 0.02, 0.04, 0.6], [0.5, 0.0001, 0.013, 0.026, 0.049, 0.9], [1.0] * 3]
    sets += [rng.beta(0.3, 3.0, m).tolist() for m in (5, 13)]
    return [dict(p=p, adjusted=multipletests(p, method="fdr_bh")[1].tolist()) for p in sets]


def harrell_davises(rng):
    out = []
    for n in (1, 2, 11, 60, 400, 3_000):
        v = rng.lognormal(0.0, 0.5, n) if n <= 60 else np.sqrt(np.arange(1.0, n + 1))
        for q in (0.1, 0.5, 0.95, 0.99):
            # scipy drops the middle for a single value.
            found = v[0] if n == 1 else stats.mstats.hdquantiles(v, prob=[q])[0]
            out.append(dict(values=v.tolist() if n <= 60 else None, n=n, q=q, point=float(found)))
    return out


def effective_sizes(rng):
    """Geyer's initial positive sequence, written over the whole autocovariance by FFT-free dots."""
    out = []
    for rho, sizes in ((0.0, (200,)), (0.6, (150, 90)), (0.9, (400,)), (-0.5, (60, 60, 60))):
        runs = []
        for n in sizes:
            x = [rng.normal()]
            for _ in range(n - 1):
                x.append(rho * x[-1] + rng.normal())
            runs.append(np.array(x))
        total = sum(sizes)
        longest = max(sizes)
        gamma = [sum(float(np.correlate(r - r.mean(), r - r.mean(), "full")[len(r) - 1 + k]) if k < len(r) else 0.0
                     for r in runs) / total for k in range(longest + 2)]
        tau = -1.0
        for m in range(longest // 4 + 1):
            pair = (gamma[2 * m] + gamma[2 * m + 1]) / gamma[0]
            if pair <= 0:
                break
            tau += 2 * pair
        n_eff = min(max(total / max(tau, 1.0), len(runs)), total)
        out.append(dict(runs=[r.tolist() for r in runs], effective=n_eff))
    return out


def dips(rng):
    out = []
    for n in (8, 11, 25, 60):
        for gap in (0.0, 1.5, 6.0):
            v = np.sort(np.where(rng.random(n) < 0.4, gap, 0.0) + rng.normal(0.0, 1.0, n))
            out.append(dict(values=v.tolist(), dip=float(diptest.dipstat(v))))
    v = np.repeat([1.0, 2.0, 5.0, 5.5], [3, 4, 5, 1])
    out.append(dict(values=v.tolist(), dip=float(diptest.dipstat(v))))
    return out


def sectionings(rng):
    """Sectioning around the quantile of the pooled samples."""
    out = []
    for launches, n, q in ((6, 20, 0.5), (10, 45, 0.9), (12, 30, 0.5)):
        v = [rng.lognormal(0.0, 0.3, n) * rng.lognormal(0.0, 0.1) for _ in range(launches)]
        centre = np.quantile(np.concatenate(v), q)
        each = np.array([np.quantile(x, q) for x in v])
        error = np.sqrt(np.sum((each - centre) ** 2) / (launches - 1) / launches)
        half = stats.t.ppf(0.975, launches - 1) * error
        out.append(dict(launches=[x.tolist() for x in v], q=q, point=float(centre),
                        low=float(centre - half), high=float(centre + half)))
    return out


def theil_slopes(rng):
    """Slopes with Sen's interval, for trends over a run (engine/measure/trend.rs)."""
    out = []
    for n in (6, 20, 61):
        for level in (0.9, 0.95):
            y = 0.03 * np.arange(n) + rng.normal(0.0, 0.5, n)
            slope, intercept, low, high = stats.theilslopes(y, np.arange(n), level)
            out.append(dict(values=y.tolist(), level=level, slope=float(slope), intercept=float(intercept),
                            low=float(low), high=float(high)))
    return out


def main():
    seeded = lambda i: np.random.default_rng([20261, i])
    quantile, p = t_distribution()
    out = dict(
        versions=dict(numpy=np.__version__, scipy=scipy.__version__, statsmodels=statsmodels.__version__,
                      diptest=diptest.__version__),
        t_quantiles=quantile, t_two_sided_p=p, means=means(), skewnesses=skewnesses(),
        quantiles=quantiles(), needs=needs(), signed_ranks=signed_ranks(), speedups=speedups(),
        holm=holms(), ratios=ratios(), wilsons=wilsons(), paired_scores=paired_scores(),
        bootstraps=bootstraps(), normals=normals(), incomplete_betas=incomplete_betas(), fiellers=fiellers(seeded(1)),
        welches=welches(seeded(2)), wilcoxons=wilcoxons(seeded(3)), sign_flips=sign_flips(seeded(4)),
        mcnemars=mcnemars(), clopper_pearsons=clopper_pearsons(), newcombes=newcombes(),
        benjamini_hochbergs=benjamini_hochbergs(seeded(5)), harrell_davises=harrell_davises(seeded(6)),
        effective_sizes=effective_sizes(seeded(7)),
        dips=dips(seeded(9)), sectionings=sectionings(seeded(10)), theil_slopes=theil_slopes(seeded(11)),
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
