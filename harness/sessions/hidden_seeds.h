// Seeds that no agent can know before its submission is bound: made of a secret of the workspace
// and the commit that is verified. Whoever has the secret finds the same seeds again, so a
// verification that was interrupted goes on, and nobody can try seeds until one pleases.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::sessions {

// The secret of a workspace: <workspace>/verification.key, readable by its owner alone, made when
// it is not there. Errors: "bad_secret" (a file that is not one), "io_error".
Result<std::string> verification_secret(const std::filesystem::path& workspace);

// `count` different seeds, 0 … 2^31 - 1, none of them `known`. More seeds begin with the fewer.
std::vector<int64_t> hidden_seeds(std::string_view secret, std::string_view commit, int64_t known,
                                  int count);

}  // namespace bitloop::sessions
