// The benchmarks of a job: tasks, their documents and the tokenizer's merges, as a description in
// the job names them, and what a model answers. `bitloop eval` and tests share this.
//
//   {"tasks": [{"path", "content"}], "documents": {name: FILE}, "vocabulary": FILE, "limit": n}
//
// FILE is {"path": its name in messages} with "fd", a descriptor that the host opened, or "file",
// a path to open.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "trainer/eval/run_task.h"
#include "trainer/records.h"

namespace bitloop::trainer {

struct BenchmarkOptions {
  // What is missing or broken is left out and said; else it is the error of run.
  bool skip = false;
  int progress_ms = 0;  // between records of progress, at least
  ScoringOptions scoring;
};

// What stands in the ledger, and what repetitions are compared by.
struct BenchmarkScores {
  nlohmann::json columns =
      nlohmann::json::object();                     // by the ledger's names; accuracies in percent
  std::map<std::string, std::string> not_measured;  // why, by task
  bool limited = false;                             // a task had more documents than the limit
  std::string digest;                               // of every log-probability, bit by bit
  std::string documents_digest;                     // of the documents that were read
};

class Benchmarks {
 public:
  // Opens the files, before system calls are narrowed; nothing is read. Errors: those of files;
  // throws json::exception for another form.
  static Result<Benchmarks> open(const nlohmann::json& description);

  // Sends for each task, in their order, records `progress`, `documents` (answers, in pieces) and
  // `eval`, or `skipped`. Requires: the model's weights are quantised for `context`, its tokens are
  // the tokenizer's; called once. Errors: "bad_file", "bad_task", "bad_document", "bad_model" (a
  // score that is not finite) and those of the candidate's functions.
  Result<BenchmarkScores> run(Transformer& model, const ForwardContext& context,
                              BenchmarkOptions options, const Records& records);

  // GPT-2's, read at the first call, or what was set. Errors: "bad_file", "data_unavailable".
  Result<const tokenizer::Tokenizer*> tokenizer();
  void set_tokenizer(std::unique_ptr<const tokenizer::Tokenizer> tokenizer) {
    tokenizer_ = std::move(tokenizer);
  }

 private:
  struct File {
    std::string name;
    UniqueFd fd;
  };
  struct Source {
    std::string path, content;
  };
  static Result<File> open_one(const nlohmann::json& description);
  Result<std::string> take(File& file, size_t most);
  Result<const std::string*> documents(const std::string& name);
  Status run_one(const Source& source, const tokenizer::Tokenizer& tokenizer, Transformer& model,
                 const ForwardContext& context, const BenchmarkOptions& options,
                 const Records& records, BenchmarkScores& scores, std::string& bits);

  std::vector<Source> tasks_;
  std::map<std::string, File> files_;        // documents by name
  std::map<std::string, std::string> read_;  // what was read of them
  File vocabulary_;
  std::unique_ptr<const tokenizer::Tokenizer> tokenizer_;
  int64_t limit_ = 0;
};

}  // namespace bitloop::trainer
