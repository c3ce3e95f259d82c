// job.json, as far as the supervisor needs to understand it; the trainer reads the rest.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::jobs {

struct Limits {
  std::chrono::seconds deadline{0};  // train and verify together
  uint64_t memory_bytes = 0;
  unsigned threads = 0;
  uint64_t output_bytes = 0;
};

struct Job {
  nlohmann::ordered_json document;
  std::string kind;                         // "train", "check", "verify", "quantize" or "profile"
  std::vector<std::filesystem::path> data;  // what the trainer may read
  Limits limits;
  std::string device = "cpu";  // what the trainer computes on: "cpu", "cuda" or "auto"
  unsigned ranks = 1;          // processes that train together; 1 for a check
  // One of several machines' ranks: the document's member `ranks`. Then `ranks` above is 1.
  std::optional<int64_t> remote_rank;
  int64_t rank_wait_s = 300;  // how long they wait for one that does not come
  bool allow_degraded = false;
  bool waits = false;  // a check without a candidate: it comes later, on the supervisor's input

  // Whether it leaves checkpoints to go on from. The ranks of other machines are not started again
  // from here.
  bool checkpoints() const { return kind == "train" && checkpoint_every > 0 && !remote_rank; }
  int64_t checkpoint_every = 0;  // steps
  int64_t steps = 0;             // of the whole run
};

// Checks the text of a job.json. Error: "bad_job" naming the member that is wrong.
Result<Job> parse_job(const std::string& text);
// Reads and checks RUN_DIR/job.json. Errors: those of read_file and of parse_job.
Result<Job> read_job(const std::filesystem::path& path);

}  // namespace bitloop::jobs
