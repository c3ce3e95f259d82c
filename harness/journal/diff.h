// Two texts, line by line.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::journal {

// The unified diff of two texts that are called `path`, three lines around each change, without
// git's first lines ("--- a/path" is the first); "" when they are equal. Error: "journal_failed".
Result<std::string> unified_diff(std::string_view before, std::string_view after,
                                 const std::string& path);

}  // namespace bitloop::journal
