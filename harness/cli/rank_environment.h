// Which of several processes this one is, where a launcher started it on several machines: what
// torchrun and srun say in the environment.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "harness/base/result.h"

namespace bitloop::cli {

struct RankEnvironment {
  int64_t rank = 0;
  int64_t count = 1;
  std::string address;          // rank 0's machine, as a number
  int64_t port = 0;             // and the one after it, where nobody listens yet
  bool store_is_there = false;  // torchrun listens at the port itself
  std::string own_address;      // of this machine, on the way to that one
  int64_t local_rank = 0;       // among this machine's ranks: which of its GPUs this one has

  // The member `ranks` of a job document.
  nlohmann::json job_member() const;
};

// From RANK, WORLD_SIZE, LOCAL_RANK (RANK where it is missing), MASTER_ADDR and MASTER_PORT
// (torchrun, or set by hand), else from srun's SLURM_PROCID, SLURM_LOCALID, SLURM_STEP_NUM_TASKS,
// SLURM_STEP_NODELIST and SLURM_JOB_ID; nothing where there is one process only. `get`: as
// std::getenv. Error "wrong_usage" naming the variable that is missing or wrong, or the name that
// no address is found for.
using Getenv = std::function<const char*(const char*)>;
Result<std::optional<RankEnvironment>> rank_environment(const Getenv& get);

// The first machine of a list as SLURM writes it: "gpu[03-05,9],b1" -> "gpu03".
std::string first_node(std::string_view list);

}  // namespace bitloop::cli
