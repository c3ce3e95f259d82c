// A run that ended goes on: it left a checkpoint, and its verdict gives way.
#pragma once

#include <filesystem>

#include "harness/base/result.h"

namespace bitloop::jobs {

// Whether an ended run can go on: it told of a checkpoint that was written whole, and its folder
// has one. (Which of them are whole now the trainer finds out.)
bool run_left_checkpoint(const std::filesystem::path& run_dir);

// Makes an ended run one that was killed: output.txt and verdict.json become output-1.txt and
// verdict-1.json, or the next number that is free; how often it was started again and that it was
// to be cancelled are forgotten. The verdict is last, in one rename that is on disk afterwards: a
// crash before it leaves an ended run, and the next attempt goes on from there. Errors: "io_error",
// "disk_full".
Status set_verdict_aside(const std::filesystem::path& run_dir);

}  // namespace bitloop::jobs
