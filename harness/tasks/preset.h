// Presets: model, data, schedule, evaluation and limits of a training run, as JSON in
// <share>/presets/<name>.json. One table of keys (type, bounds, unit) feeds the checks, `--set
// key=value` and the table in trainer/presets/README.md.
#pragma once

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tasks {

enum class KeyType { kInteger, kNumber, kBoolean, kText };

struct PresetKey {
  const char* key;  // dotted: "train.learning_rate"
  KeyType type;
  bool required;
  double low;  // smallest and largest value allowed, for numbers
  double high;
  const char* choices;  // for text: the values allowed, joined by '|'; "" for any
  const char* unit;     // "" for pure numbers and text
  const char* doc;
};

std::span<const PresetKey> preset_keys();

// Reads and checks <share_dir>/presets/<name>.json. Errors: "unknown_preset" (the message lists the
// names), "bad_preset" (not JSON, unknown or missing key, wrong type, out of bounds, fields that
// contradict each other; file and key named), "io_error".
Result<nlohmann::json> load_preset(const std::filesystem::path& share_dir, std::string_view name);
// The names of all presets in share_dir, sorted.
Result<std::vector<std::string>> preset_names(const std::filesystem::path& share_dir);

// Checks a preset; `where` (a file, "--set") starts the message. Error: "bad_preset".
Status check_preset(const nlohmann::json& preset, std::string_view where);

// Applies "train.learning_rate=0.003" to a preset, which it changes only when all is well. Numbers
// and booleans are written as in JSON, text without quotes. `name` and `description` cannot be set.
// Cross-field checks are check_preset()'s: call it after the last one. Errors: "bad_override" (no
// '='), "unknown_key" (the nearest keys are listed), "bad_value".
Status apply_override(nlohmann::json& preset, std::string_view assignment);

}  // namespace bitloop::tasks
