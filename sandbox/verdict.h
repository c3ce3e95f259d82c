// How a jailed program ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/layers.h"

namespace bitloop::sandbox {

enum class KilledBy { kDeadline, kMemory, kSeccomp, kFileSize, kCpu, kEvents, kCancelled };

const char* killed_by_name(KilledBy reason);  // "deadline", "memory", …, as in verdict.json

struct Verdict {
  unsigned process = 0;  // whose end the two below are: 0 the first's, else that of a companion,
                         // which ended before the first and not with exit code 0
  std::optional<int> exit_code;       // when it ended by itself
  std::optional<int> signal;          // when a signal ended it
  std::optional<KilledBy> killed_by;  // the layer that ended it
  int64_t wall_ms = 0;
  int64_t cpu_ms = 0;      // all its threads, user and system
  int64_t max_rss_mb = 0;  // largest resident size, in MiB
  std::vector<LayerState> layers;
};

}  // namespace bitloop::sandbox
