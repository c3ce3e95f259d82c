"""The figures of a full run as tables of docs/reliability.md, between its marks."""

BEGIN, END = "<!-- figures: begin (tests/reliability/run.py --document) -->", "<!-- figures: end -->"


def table(head, rows):
    return "\n".join(["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)])


def times_row(name, times):
    return [name, times["n"], *(times.get(key, "") for key in ("p50", "p99", "max"))]


def machine(figures):
    its = figures["machine"]
    return (f"{its['date']}, {its['version']}; {its['cores']} cores ({its['cpu']}), {its['memory_gib']} GiB; "
            f"load average before the run {its['load_before']:.1f}, which is other work on the machine.")


def load(its):
    memory = its["memory"]
    rows = [times_row(name, times) for name, times in its["calls_ms"].items()] + [times_row("the disk alone", its["disk_ms"])]
    return (f"{its['agents']} agents, {its['calls_a_second_each']:g} calls a second each, {its['seconds']:g} s: {its['calls']} calls, "
            f"{its['events']} events in {its['sessions']} sessions, {its['tests']} tests, {its['wrong_answers']} wrong answers, "
            f"{its['packs_made']} packs made meanwhile.\n\n"
            + table(["call (ms)", "n", "median", "p99", "max"], rows) + "\n\n"
            + table(["server", "at start", "second sixth", "last sixth", "after the agents left"],
                    [[name] + [memory[when][name] for when in ("before", "second_sixth", "last_sixth", "idle")]
                     for name in ("rss_mb", "own_mb", "threads", "descriptors")])
            + f"\n\nIn the second half of the time own memory grew by {memory['second_half']['mb']} MiB over {memory['second_half']['events']} "
              f"events: {memory['second_half']['bytes_an_event']} bytes an event.")


def kills(its):
    return (f"{its['kills']} kills of the server, {its['kills_of_supervisors']} of runs' supervisors with it: {its['acknowledged']} changes "
            f"acknowledged, none lost, none doubled; {its['events']} events, {its['tests']} tests, {its['given_back']} of them given back as "
            f"`infrastructure`, {its['packs']} packs. The next start takes {its['start_ms']['p50']} ms (median), {its['start_ms']['max']} ms at "
            "most.")


def faults(its):
    words = {
        "full_disk": lambda it: ("disk full", it["answer"]),
        "read_only_disk": lambda it: ("file system that failed, read-only", it["answer"]),
        "clock_set_back": lambda it: (f"clock set back by {it['set_back_days']} days", "nothing"),
        "out_of_descriptors": lambda it: (f"{it['limit']} descriptors, {it['connections']} connections",
                                          f"answers meanwhile: {', '.join(str(status or 'none yet') for status in it['answers_meanwhile'])}"),
        "out_of_memory": lambda it: ("no memory", ", ".join(f"{count} × {line or 'cut off'}" for line, count in it["answers"].items())
                                     + ("; the server ended" if it["process_ended"] else "; the server lived"))}
    return table(["fault", "what clients saw", "lost"],
                 [[name.replace("_", " "), "not tried: " + it["skipped"], ""] if "skipped" in it else [*words[name](it), it["lost"]]
                  for name, it in its.items() if name in words])


def clients(its):
    rows = [[name.replace("_", " "), ", ".join(outcome) if isinstance(outcome, list) else outcome] for name, outcome in its.items()
            if name not in ("edits_beside_ms", "took_s")]
    beside = its["edits_beside_ms"]
    return (table(["client", "outcome"], rows) + f"\n\nAn agent's edits beside them: {beside['n']}, median {beside['p50']} ms, p99 {beside['p99']} "
            f"ms, at most {beside['max']} ms.")


def packing(its):
    rows = [times_row(name.replace("_", " "), times) for name, times in its["edits_ms"].items()]
    return (f"{its['sessions']} sessions, {its['commits']} commits, {its['loose_before']} loose objects ({its['loose_mb']} MiB): start-up "
            f"{its['start_s']} s; packed into {its['packs']} packs ({its['packed_mb']} MiB): {its['start_packed_s']} s.\n\n"
            + table(["an edit (ms)", "n", "median", "p99", "max"], rows))


TITLES = {"load": "Load", "kills": "kill -9", "faults": "Faults of the machine", "clients": "Slow and hostile clients",
          "packing": "A large journal"}


def put_figures(path, figures):
    """Replaces what is between the marks; parts that did not run are left out."""
    parts = [machine(figures)]
    for name, title in TITLES.items():
        if name in figures:
            parts.append(f"### {title}\n\n{globals()[name](figures[name])}")
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + rest.split(END)[1])
