// The conversation of `bitloop lua`: with a person at a terminal, or with a script. All of them
// return the program's exit code: 0 done, 1 a chunk failed; errors of the machine come back.
#pragma once

#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/shell/jailed_lua.h"

namespace bitloop::shell {

inline constexpr int kAllWell = 0, kChunkFailed = 1;

// Runs each of the chunks; the first that fails ends it, with a sentence on stderr.
Result<int> run_chunks(JailedLua& lua, const std::vector<std::string>& chunks);
// Reads standard input to its end, a chunk as soon as its lines are complete; likewise.
Result<int> run_standard_input(JailedLua& lua);
// Prompts, edits, remembers; failing chunks end nothing. Ends at Ctrl-D and `exit`.
Result<int> run_terminal(JailedLua& lua);

}  // namespace bitloop::shell
