"""What it costs when an idle thread's stack leaves its pages and comes back, beside the system calls that this takes."""
import statistics

from table import Goal

ELASTIC = {"COSHIM_STACK_MODE": "elastic", "COSHIM_STACK_IDLE": "50ms"}
PRIVATE = {"COSHIM_STACK_MODE": "private", "COSHIM_STACK_IDLE": "50ms"}


def run(bench):
    count = 2000 if bench.options.quick else 10000
    bench.table.section(f"A stack leaves its pages and comes back, {count:,} of them; bound: the system calls alone")

    def figures(what, kind, number, settings):
        def measure(_):
            run_as = "native" if settings is None else "shim"
            with bench.programs.start(["stack_save", kind, number], run_as, "first", settings) as program:
                return [float(word) for word in program.read_line(120).split()]
        return bench.repeated(what, ["it"], measure)["it"]

    def column(results, index):
        return [{"cpu": result[index]} for result in results]

    bare = figures("bare calls", "bare", 1024, None)
    together, apart = figures("saved together", "wave", count, ELASTIC), figures("saved singly", "apart", count // 5, ELASTIC)
    private, touched = figures("private, waking", "wave", count, PRIVATE), figures("touched", "touch", count // 5, ELASTIC)
    if not all((bare, together, apart, private, touched)):
        return
    waking = statistics.median(result[1] for result in private)
    back = [{"cpu": result[1] - waking} for result in together]
    for name, shim, bound, goals in (
            ("save, neighbours at once: CPU", column(together, 0), column(bare, 1), ()),
            ("save, one by itself: CPU", column(apart, 0), column(bare, 0), ()),
            ("bring back, when it is woken: CPU", back, column(bare, 2), (Goal("bare", 2),)),
            ("bring back, on a touch: elapsed", column(touched, 0), column(bare, 2), ())):
        bench.rows_of({"shim": shim, "bare": bound}, [(name, "ns", "cpu", goals)])
