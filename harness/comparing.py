"""Is a platform slower to heal than before? Two sets of suites, compared case by case and as a whole. Pure.

Machines of CI differ by more than 30 % from run to run, so medians alone decide nothing. A case (a scenario in one
variant) has *changed* only if both hold: a rank test on its recovery times says that chance does not explain the
difference, and the medians differ by more than a threshold.

- Each case with several runs a side: the rank-sum test (Wilcoxon 1945; Mann & Whitney 1947), two-sided, by
  permutations of the pooled ranks, with Holm's correction (1979) for the number of cases.
- All cases together, one pair of medians each: the sign-flip test (Fisher 1935) on the logarithms of their ratios,
  which finds what slows everything by a little.

A run that never recovered ranks behind all others. Where there are too few runs for any result to be significant, the
answer is "cannot tell", never "no change". Not promised: that equal code passes; one of twenty comparisons of equal
code may err at a level of 0.05.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from harness.result import Result, TrialStatus

Change = Literal["slower", "faster", "unchanged", "cannot tell"]

_EXACT = 20_000  # permutations that are all tried; of more, as many are drawn
_NEVER = math.inf
_EVEN = 0.5
_ENOUGH = 10  # runs a side whose arrangements are more than are ever tried


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as a change: a ratio of medians beyond `1 + threshold`, or its inverse, at level `alpha`."""

    alpha: float = 0.05
    threshold: float = 0.2


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A case on both sides. Times are medians in ms, None for never; `p` is None where nothing can be told.

    `superiority` is the chance that a run of the second side takes longer than one of the first, ties counting half
    (Vargha & Delaney 2000): 0.5 where they are alike.
    """

    case: str
    runs: tuple[int, int]
    before_ms: float | None
    after_ms: float | None
    ratio: float | None
    superiority: float
    p: float | None
    change: Change
    reason: str


class Worsened(msgspec.Struct, frozen=True, kw_only=True):
    """A case that passed whenever it ran, and does so no more."""

    case: str
    status: TrialStatus
    count: int
    total: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is to be said. `overall` is None without a case on both sides."""

    cases: tuple[Compared, ...]
    overall: Compared | None
    worsened: tuple[Worsened, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Return whether anything got worse."""
        return bool(self.worsened) or any(each.change == "slower" for each in self._all)

    @property
    def told(self) -> bool:
        """Return whether anything could be told at all."""
        return bool(self.worsened) or any(each.change != "cannot tell" for each in self._all)

    @property
    def _all(self) -> tuple[Compared, ...]:
        return (*self.cases, *filter(None, [self.overall]))


def compare(before: Iterable[Result], after: Iterable[Result], terms: Terms | None = None) -> Comparison:
    """Compare the results of two sets of suites; negative scenarios and what was skipped are left out."""
    terms = terms or Terms()
    first, second = _by_case(before), _by_case(after)
    both = [case for case in first if case in second]
    times = {case: (_times(first[case]), _times(second[case])) for case in both}
    timed = {case: pair for case, pair in times.items() if all(pair)}
    return Comparison(
        cases=tuple(_corrected([_case(case, *pair) for case, pair in timed.items()], terms)),
        overall=_overall(timed, terms),
        worsened=tuple(_worsened(both, first, second)),
        only_before=tuple(case for case in first if case not in second),
        only_after=tuple(case for case in second if case not in first),
    )


def rank_sum(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the two-sided p of the rank-sum test: all permutations where they are few, else drawn ones."""
    ranks = _ranks([*before, *after])
    middle = sum(ranks) * len(after) / len(ranks)
    found = abs(sum(ranks[len(before) :]) - middle)
    if math.comb(len(ranks), len(after)) <= _EXACT:
        return _share(itertools.combinations(ranks, len(after)), lambda each: abs(sum(each) - middle), found)
    rng = random.Random(0)  # noqa: S311  the same data must give the same verdict everywhere
    drawn = (rng.sample(ranks, len(after)) for _ in range(_EXACT))
    return _share(itertools.chain([ranks[len(before) :]], drawn), lambda each: abs(sum(each) - middle), found)


def sign_flip(logs: Sequence[float]) -> float:
    """Return the two-sided p of the sign-flip test on paired differences: all flips where they are few."""
    found = abs(sum(logs))
    if 2 ** len(logs) <= _EXACT:
        flips: Iterable[Sequence[float]] = itertools.product((1.0, -1.0), repeat=len(logs))
    else:
        rng = random.Random(0)  # noqa: S311  as above
        drawn = (rng.choices((1.0, -1.0), k=len(logs)) for _ in range(_EXACT))
        flips = itertools.chain([[1.0] * len(logs)], drawn)
    return _share(flips, lambda signs: abs(sum(map(math.prod, zip(signs, logs, strict=True)))), found)


def _share(arrangements: Iterable[Sequence[float]], measure: Callable[[Sequence[float]], float], found: float) -> float:
    """Return the share of arrangements at least as far out as what was found (itself among them)."""
    total = extreme = 0
    for each in arrangements:
        total += 1
        extreme += measure(each) >= found - 1e-9
    return extreme / total


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value from 1; ties share the mean of theirs."""
    counts = Counter(values)
    rank, mean = 0, {}
    for value in sorted(counts):
        mean[value] = rank + (counts[value] + 1) / 2
        rank += counts[value]
    return [mean[value] for value in values]


def _by_case(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        if not result.convicts and result.status not in {"SKIPPED", "INTERRUPTED"}:
            variant = f"[{result.variant}]" if result.variant else ""
            found.setdefault(f"{result.scenario}{variant}", []).append(result)
    return found


def _times(results: Iterable[Result]) -> list[float]:
    """Return the slowest recovery of every run that had one, in ms."""
    numbers = [
        judged.verdict.numbers
        for result in results
        for judged in result.checks
        if "recovery_ms" in judged.verdict.numbers and judged.verdict.status != "UNKNOWN"
    ]
    return [_NEVER if each.get("never_recovered") else each["recovery_ms"] for each in numbers]


def _case(case: str, before: Sequence[float], after: Sequence[float]) -> Compared:
    first, second = statistics.median(before), statistics.median(after)
    wins = sum((y > x) + (y == x) / 2 for x in before for y in after)
    return Compared(
        case=case,
        runs=(len(before), len(after)),
        before_ms=_finite(first),
        after_ms=_finite(second),
        ratio=_finite(second / first) if first not in {0.0, _NEVER} else None,
        superiority=wins / (len(before) * len(after)),
        p=rank_sum(before, after),
        change="unchanged",
        reason="",
    )


def _corrected(cases: Sequence[Compared], terms: Terms) -> Iterator[Compared]:
    """Judge every case by Holm's corrected p; the order of the cases stays."""
    able = [each for each in cases if _attainable(each.runs) <= terms.alpha / max(len(cases), 1)]
    corrected: dict[str, float] = {}
    highest = 0.0
    for place, each in enumerate(sorted(able, key=lambda each: each.p or 0.0)):
        highest = max(highest, min(1.0, (each.p or 0.0) * (len(able) - place)))
        corrected[each.case] = highest
    for each in cases:
        if each.case in corrected:
            yield _judged(each, corrected[each.case], terms)
        else:
            needed = _needed(terms.alpha / len(cases))
            reason = f"{each.runs[0]} and {each.runs[1]} runs; {needed} a side could tell"
            yield msgspec.structs.replace(each, p=None, change="cannot tell", reason=reason)


def _judged(each: Compared, p: float, terms: Terms) -> Compared:
    """Both must hold: chance does not explain it, and it is large enough to matter."""
    slower = each.superiority > _EVEN if each.ratio is None else each.ratio > 1
    beyond = each.ratio is None or not 1 / (1 + terms.threshold) <= each.ratio <= 1 + terms.threshold
    change: Change = "unchanged"
    if p > terms.alpha:
        reason = "chance explains the difference"
    elif not beyond:
        reason = f"a difference, but within {terms.threshold:.0%}"
    else:
        change, reason = ("slower" if slower else "faster"), "more than chance explains"
    return msgspec.structs.replace(each, p=p, change=change, reason=reason)


def _overall(timed: Mapping[str, tuple[list[float], list[float]]], terms: Terms) -> Compared | None:
    medians = [(statistics.median(before), statistics.median(after)) for before, after in timed.values()]
    pairs = [(x, y) for x, y in medians if 0 < x < _NEVER and 0 < y < _NEVER]
    if not pairs:
        return None
    logs = [math.log(y / x) for x, y in pairs]
    each = Compared(
        case="all together",
        runs=(len(pairs), len(pairs)),
        before_ms=statistics.geometric_mean(x for x, _ in pairs),
        after_ms=statistics.geometric_mean(y for _, y in pairs),
        ratio=math.exp(statistics.fmean(logs)),
        superiority=sum((log > 0) + (log == 0) / 2 for log in logs) / len(logs),
        p=sign_flip(logs),
        change="unchanged",
        reason="",
    )
    if 2 ** (1 - len(pairs)) > terms.alpha:
        needed = math.ceil(1 - math.log2(terms.alpha))
        reason = f"{len(pairs)} cases on both sides; {needed} could tell"
        return msgspec.structs.replace(each, p=None, change="cannot tell", reason=reason)
    return _judged(each, each.p or 0.0, terms)


def _worsened(
    both: Iterable[str], before: Mapping[str, list[Result]], after: Mapping[str, list[Result]]
) -> Iterator[Worsened]:
    for case in both:
        bad = [result.status for result in after[case] if result.status != "PASS"]
        if bad and all(result.status == "PASS" for result in before[case]):
            status = "FAIL" if "FAIL" in bad else bad[0]
            yield Worsened(case=case, status=status, count=bad.count(status), total=len(after[case]))


def _attainable(runs: tuple[int, int]) -> float:
    """Return the smallest two-sided p that so many runs can give."""
    arrangements = math.comb(sum(runs), runs[1])
    return max(min(1.0, 2 / arrangements), 1 / _EXACT)


def _needed(level: float) -> int:
    """Return how many runs a side can give a p of `level`."""
    return next((n for n in range(2, _ENOUGH) if _attainable((n, n)) <= level), _ENOUGH)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
