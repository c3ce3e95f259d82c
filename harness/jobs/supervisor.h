// The supervisor of one run: a process of its own that jails the trainer, keeps its records and
// writes how it ended. It outlives the host; the jail does not outlive it.
//
// Invariants:
// 1. It alone writes the run's folder once job.json exists, and holds supervisor.lock while it
//    lives.
// 2. verdict.json appears last, whole, once; a run that has one is over.
// 3. No run is started twice: a folder with records but no verdict is ended as "infrastructure".
#pragma once

#include <filesystem>

namespace bitloop::jobs {

// Runs the job of `run_dir` to its end. For a "train" job that ended ok that includes its
// repetition ("verify"). A "check" without a candidate is prepared, and waits for the candidate on
// standard input: a JSON object {path, content} and the end of the file; its deadline counts from
// then, and without a candidate it ends as "infrastructure". SIGTERM and SIGINT cancel it. Returns
// 0 when there is a verdict, 1 when another supervisor holds the lock, 3 when the folder can't be
// written; says so in one sentence on stderr. Changes signal handling and session of the calling
// process: nothing else should run in it, and it should have one thread.
int supervise(const std::filesystem::path& run_dir);

}  // namespace bitloop::jobs
