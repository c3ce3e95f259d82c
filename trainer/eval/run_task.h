// One task from its documents to its numbers.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "trainer/eval/metrics.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::trainer {

struct TaskRun {
  std::vector<Answer> answers;  // in the order of the documents; of a kBlocks task one a block
  int64_t documents = 0;
  bool limited = false;  // there were more documents than the limit
};

struct TaskRunOptions {
  std::string documents_name;  // in messages
  int64_t limit = 0;           // documents at most; 0: all
  ScoringOptions scoring;
};

// `documents`: JSON objects, one a line. Errors: "bad_document" with file, line and field;
// "bad_model" where a score is not finite; those of the candidate's functions.
Result<TaskRun> run_task(Task& task, std::string_view documents,
                         const tokenizer::Tokenizer& tokenizer, Transformer& model,
                         const ForwardContext& context, const TaskRunOptions& options,
                         const std::function<void(size_t done, size_t all)>& progress);

}  // namespace bitloop::trainer
