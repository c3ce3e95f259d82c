// What a run's records become: events.jsonl, log.tsv and, of runs with benchmarks, documents.jsonl.
// Those of a run that was killed and goes on from a checkpoint are one story, too: what the killed
// process did after that checkpoint is done again, and told once.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/base/result.h"
#include "harness/jobs/log_table.h"
#include "harness/jobs/record_file.h"

namespace bitloop::jobs {

// A write that fails (a full disk) is tried again with the next record: the run goes on, and what
// is missing in the end its verdict says.
class RunFiles {
 public:
  // `goes_on`: the folder has files of a killed process. Errors: those of files.
  static Result<RunFiles> open(const std::filesystem::path& folder, bool goes_on);

  void take(const nlohmann::ordered_json& record);
  // What was taken is on disk afterwards; a failure is remembered.
  void sync();
  // `durable`: they survive a crash of the machine. Error: what is missing in which file, and why.
  Status finish(bool durable);

 private:
  // Answers of single documents: too many for readers of the curve, and a file of their own for
  // `bitloop compare`.
  void take_documents(const std::string& line);
  void append(const nlohmann::ordered_json& record);
  // The files as they were at this step, with the record that says so.
  void go_on_from(int64_t step, const nlohmann::ordered_json& resumed);

  std::filesystem::path folder_;
  RecordFile events_, log_, documents_;
  LogTable table_;
  Status status_;        // an error after which nothing more is taken
  Status no_documents_;  // why documents.jsonl could not be begun with the first of them
  // Until it is known where the run goes on: events.jsonl as it was, and the lines that came since.
  bool waits_ = false;
  std::string before_, since_;
};

}  // namespace bitloop::jobs
