// A benchmark as one small Lua file (docs/evaluation.md): which fields a document has, how a
// question is made of them, what is measured. The rules for questions are those of
// lm-evaluation-harness 0.4 (Gao et al.), so that numbers may stand beside anyone's.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::trainer {

enum class TaskKind {
  kMultipleChoice,  // which continuation is the likeliest
  kContinuation,    // how likely is the one that is right
  kDocument,        // how likely is a whole document, in windows that overlap as little as can be
  kBlocks,          // all documents as one text, in blocks of the context's length
};

// One text to score: log P(continuation | context). Both are UTF-8.
struct Prompt {
  std::string context, continuation;
};

// What is asked of one document.
struct Question {
  std::vector<Prompt> prompts;         // one a choice, or one
  std::vector<int64_t> choice_length;  // of each choice, in characters: what acc_norm divides by
  int64_t gold = 0;                    // the choice that is right
  int64_t words = 0, bytes = 0;        // kDocument: of the text as it was published
};

class Task {
 public:
  // Runs the file in a Lua state of its own, with limits. Errors "bad_task": a sentence with the
  // file's name and line or member.
  static Result<Task> load(std::string_view source, const std::string& file_name);
  Task(Task&&) noexcept;
  Task& operator=(Task&&) noexcept;
  ~Task();

  const std::string& name() const;
  TaskKind kind() const;
  const std::vector<std::string>& metrics() const;
  // The file of documents that it reads, by name.
  const std::string& file() const;
  // kBlocks: what stands between two documents.
  const std::string& separator() const;
  // Which of its metrics stands in the ledger, and in which column; empty texts where none does.
  struct Ledger {
    std::string column, metric;
  };
  const Ledger& ledger() const;

  // Error "bad_document": a sentence that names the field.
  Result<Question> question(const nlohmann::json& document);

 private:
  struct Impl;
  explicit Task(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::trainer
