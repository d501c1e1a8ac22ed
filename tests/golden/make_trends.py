"""Writes trends.json: slopes and trends as scipy has them.

    python -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1
    venv/bin/python tests/golden/make_trends.py

Read by engine/measure/trend.rs. Data come from a seeded generator and are stored in the file.
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

RNG = np.random.default_rng(20265)


def series():
    yield [3.0, 1.0, 2.0]
    yield (RNG.normal(0, 1, 10) + 0.3 * np.arange(10)).tolist()
    yield RNG.lognormal(0, 0.5, 25).tolist()
    yield np.round(RNG.normal(5, 1, 30), 0).tolist()
    yield (np.cumsum(RNG.normal(0, 1, 60)) * 1e6).tolist()
    yield (200e6 - 50.0 * np.arange(40) ** 2).tolist()


def slopes():
    out = []
    for values in series():
        times = np.sort(np.round(RNG.uniform(0, 3 * len(values), len(values)), 0))
        for level in (0.9, 0.95, 0.98):
            found = stats.theilslopes(values, times, level)
            out.append(dict(times=times.tolist(), values=values, level=level,
                            point=found.slope, low=found.low_slope, high=found.high_slope,
                            intercept=found.intercept))
    return out


def trends():
    out = []
    for values in series():
        times = np.arange(len(values), dtype=float)
        found = stats.kendalltau(times, values, method="asymptotic")
        v = np.asarray(values)
        s = float(sum(np.sign(v[j] - v[i]) for i in range(len(v)) for j in range(i + 1, len(v))))
        out.append(dict(values=values, s=s, tau=found.statistic, p_value=found.pvalue))
    return out


golden = dict(made_with=dict(numpy=np.__version__, scipy=scipy.__version__),
              slopes=slopes(), trends=trends())
path = pathlib.Path(__file__).with_name("trends.json")
path.write_text(json.dumps(golden, indent=1) + "\n")
