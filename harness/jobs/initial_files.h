// The files of a job's `init_from`, opened for its jail, which sees no folder of them.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/result.h"

namespace bitloop::jobs {

// Opens them in their order and gives each a member "fd": first_fd, first_fd + 1, … inside. Nothing
// where the job has none. Errors: "init_unavailable" names the file that can't be opened;
// "bad_job".
Result<std::vector<UniqueFd>> open_initial_files(nlohmann::ordered_json& document, int first_fd);

}  // namespace bitloop::jobs
