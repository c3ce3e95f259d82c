// How many processes a preset trains with on this machine, where nobody asked for a number.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace bitloop::tasks {

// GPUs that a run would get: those of $CUDA_VISIBLE_DEVICES where that is set, else all whose
// device files are in `devices`.
int64_t gpus_here(const std::filesystem::path& devices = "/dev");

// The preset with no more ranks than GPUs: the number in a preset's file is what it was made for,
// and two ranks on one device are slower than one. A preset of the CPU, or a machine without a GPU,
// gets one. `preset` is as in its file, before anything was set by hand.
nlohmann::json settle_ranks(nlohmann::json preset, int64_t gpus);

}  // namespace bitloop::tasks
