"""Numbers as people read them, in reports and on the command line."""

from lrsearch.contract.budgets import Budget


def percent(share: float | None, digits: int = 1) -> str:
    """An accuracy: `0.8731` is `87.3 %`; null is a dash."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def points(gain: float | None) -> str:
    """A difference of accuracies, given in percentage points: `+12.3 points`."""
    return "–" if gain is None else f"{gain:+.1f} points"


def duration(seconds: float) -> str:
    """A time: `75` is `1 min 15 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def rate(value: float) -> str:
    """A learning rate; 0 is `frozen`."""
    return f"{value:.3g}" if value else "frozen"


def p_value(value: float) -> str:
    """A p-value, with as many digits as it deserves."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def size(size_bytes: int) -> str:
    """An amount of data: `1536` is `1.5 KiB`."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def budget_bounds(budget: Budget) -> str:
    """What bounds a search; empty where nothing does."""
    bounds = []
    if budget.finetunes is not None:
        bounds.append(f"{budget.finetunes:g} finetunes ({budget.epochs} epochs)")
    elif budget.epochs is not None:
        bounds.append(f"{budget.epochs} epochs")
    if budget.trials is not None:
        bounds.append(f"{budget.trials} trials")
    if budget.seconds is not None:
        bounds.append(f"{duration(budget.seconds)} of a worker")
    if budget.target_accuracy is not None:
        bounds.append(f"until {percent(budget.target_accuracy)}")
    return ", ".join(bounds)
