#include "trainer/eval/run_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr size_t kLongestDocument = size_t{4} << 20;

// Where the windows of a document's prompts lie in the list of all.
struct Place {
  size_t answer, prompt;
};

struct Prepared {
  TaskRun run;
  std::vector<Window> windows;
  std::vector<Place> places;  // of each window

  void add(std::vector<Window> made, Place place) {
    for (Window& window : made) {
      windows.push_back(std::move(window));
      places.push_back(place);
    }
  }
};

Status add_question(Prepared& prepared, const Task& task, Question question,
                    const tokenizer::Tokenizer& tokenizer, int64_t context) {
  const size_t answer = prepared.run.answers.size();
  for (size_t i = 0; i < question.prompts.size(); ++i) {
    if (task.kind() == TaskKind::kDocument) {
      prepared.add(rolling_windows(tokenizer.encode(question.prompts[i].continuation), context,
                                   tokenizer.beginning()),
                   {answer, i});
    } else {
      BITLOOP_ASSIGN(window, continuation_window(tokenizer, question.prompts[i], context));
      window.group = static_cast<int64_t>(answer);
      prepared.add({std::move(window)}, {answer, i});
    }
  }
  Answer made{std::move(question), {}};
  made.scores.resize(made.question.prompts.size());
  prepared.run.answers.push_back(std::move(made));
  return {};
}

// All documents of a kBlocks task as one text.
void add_blocks(Prepared& prepared, const std::string& text, const tokenizer::Tokenizer& tokenizer,
                int64_t context) {
  for (Window& window : block_windows(tokenizer.encode(text), context)) {
    prepared.add({std::move(window)}, {prepared.run.answers.size(), 0});
    prepared.run.answers.push_back({{}, std::vector<WindowScore>(1)});
  }
}

Result<Prepared> prepare(Task& task, std::string_view documents,
                         const tokenizer::Tokenizer& tokenizer, int64_t context,
                         const TaskRunOptions& options) {
  Prepared prepared;
  std::string blocks;
  int64_t line_number = 0;
  while (!documents.empty()) {
    const size_t end = std::min(documents.find('\n'), documents.size());
    const std::string_view line = documents.substr(0, end);
    documents.remove_prefix(std::min(end + 1, documents.size()));
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    prepared.run.limited = options.limit > 0 && prepared.run.documents == options.limit;
    if (prepared.run.limited) break;
    const auto at_line = [&](const std::string& what) {
      return fail("bad_document",
                  fmt::format("{}, line {}: {}", options.documents_name, line_number, what));
    };
    if (line.size() > kLongestDocument)
      return at_line(fmt::format("it is longer than {} MiB", kLongestDocument >> 20));
    const json document = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (document.is_discarded()) return at_line("it is no JSON, or cut short");
    auto question = task.question(document);
    if (!question) return at_line(question.error().message);
    ++prepared.run.documents;
    if (task.kind() == TaskKind::kBlocks) {
      if (prepared.run.documents > 1) blocks += task.separator();
      blocks += question->prompts.front().continuation;
    } else if (const Status added =
                   add_question(prepared, task, *std::move(question), tokenizer, context);
               !added) {
      return at_line(added.error().message);
    }
  }
  if (task.kind() == TaskKind::kBlocks) add_blocks(prepared, blocks, tokenizer, context);
  if (prepared.windows.empty())
    return fail("bad_document", options.documents_name + ": there is nothing to score in it");
  return prepared;
}

}  // namespace

Result<TaskRun> run_task(Task& task, std::string_view documents,
                         const tokenizer::Tokenizer& tokenizer, Transformer& model,
                         const ForwardContext& context, const TaskRunOptions& options,
                         const std::function<void(size_t done, size_t all)>& progress) {
  BITLOOP_ASSIGN(prepared, prepare(task, documents, tokenizer, model.config().context, options));
  const size_t all = prepared.windows.size();
  BITLOOP_ASSIGN(scores, score_windows(model, prepared.windows, context, options.scoring,
                                       [&](size_t done) { progress(done, all); }));
  for (size_t i = 0; i < scores.size(); ++i) {
    WindowScore& sum =
        prepared.run.answers[prepared.places[i].answer].scores[prepared.places[i].prompt];
    if (!std::isfinite(scores[i].log_probability))
      return fail("bad_model", fmt::format("{}: what the model says of {} {} is no finite number: "
                                           "its weights or their quantisation are broken",
                                           options.documents_name,
                                           task.kind() == TaskKind::kBlocks ? "block" : "document",
                                           prepared.places[i].answer + 1));
    sum.log_probability += scores[i].log_probability;
    sum.tokens += scores[i].tokens;
    sum.greedy = sum.greedy && scores[i].greedy;
  }
  return std::move(prepared.run);
}

}  // namespace bitloop::trainer
