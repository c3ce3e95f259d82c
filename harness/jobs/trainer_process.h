// What every jail of a trainer has in common: the program, its environment, its limits, and the job
// on a descriptor that nobody can change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "sandbox/policy.h"

namespace bitloop::jobs {

// The descriptors of job and records, inside.
inline constexpr int kJobFd = 3;
inline constexpr int kEventFd = 4;
// Where a trainer that was started without a candidate reads it from.
inline constexpr int kCandidateFd = 5;
// And from here on the files of the model that it begins with.
inline constexpr int kFirstFileFd = 6;

// The program that is jailed.
std::filesystem::path trainer_program();

// Test hook of every jail, and of what is said about the machine: BITLOOP_DISABLE_LAYERS, a comma
// list of layer names, makes these layers behave as if the kernel refused them.
std::set<std::string> layers_disabled_for_test();

// A policy without files, descriptors, output and time: the caller adds what its job needs. Test
// hooks: BITLOOP_TRAINER names the program to jail instead of bitloop-trainer, those of
// sandbox/lock_down.h are handed on, and that above.
sandbox::Policy trainer_policy(unsigned threads, uint64_t memory_bytes, bool allow_degraded);

// Gives the jail this machine's GPUs, or those that CUDA_VISIBLE_DEVICES names by number, where a
// job's device ("cpu", "cuda" or "auto") asks for them: with "auto", where they are found; where
// they are not although there is a driver, the sentence returned says why. Errors: those of
// find_gpu.
Result<std::string> add_gpu(sandbox::Policy& policy, std::string_view device);

// A sealed memory file, at its beginning: the jail can read it, and nobody can change it.
Result<UniqueFd> sealed_file(std::string_view content);

}  // namespace bitloop::jobs
