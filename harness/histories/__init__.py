"""Is a history of concurrent operations linearizable? A checker that can be read in one sitting.

A history is linearizable when every operation can be given one moment between its call and its return (both
included) such that, one after the other in the order of these moments, the operations do what a plain sequential
object, the *model*, would do (Herlihy & Wing 1990). Deciding this is NP-complete (Gibbons & Korach 1997), so there is
a budget, and three verdicts: `ok`, `illegal`, `unknown`. Everything here is pure; budgets count steps and
configurations, never seconds, so that the same history has the same verdict on every machine.

    operations.py   one operation as the checker sees it
    models/         the sequential objects
    versions.py     versions order the writes: the question answered in O(n log n)
    search.py       the search of Wing & Gong, with what makes it fast
    checking.py     `check`: partitions, budgets, verdict
    window.py       the smallest part of a history that contradicts itself, in English
    files.py        `judge_file`: histories from anybody, as JSON lines
"""
