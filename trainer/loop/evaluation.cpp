#include "trainer/loop/evaluation.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <memory>

#include "harness/base/fd.h"
#include "trainer/checkpoint/huggingface.h"
#include "trainer/eval/run_task.h"
#include "trainer/loop/finished_run.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr size_t kMaxDocuments = size_t{4} << 30, kMaxVocabulary = size_t{64} << 20;

// {"fd": N, "path": "…"}: a file that the host opened, and its name for messages.
Result<std::string> read_given(const json& file, size_t limit) {
  const int fd = file.at("fd");
  auto text = read_all(fd, limit);
  ::close(fd);
  if (!text)
    return fail("bad_file",
                fmt::format("{}: {}", file.at("path").get<std::string>(), text.error().message));
  return text;
}

// What is scored, and how.
struct Subject {
  std::unique_ptr<Run> run;    // of bitloop; or
  std::unique_ptr<Gpt2> made;  // from elsewhere
  Gpt2* model = nullptr;
  ForwardContext context;
};

Result<Subject> load_run(const json& job, const MappedTensors& tensors, const Records& records) {
  Subject subject;
  BITLOOP_ASSIGN(run, load_finished_run(job.at("job"), tensors, records));
  const Job& trained = run->job;
  if (trained.model.vocab_size != tokenizer::Gpt2::kSize || trained.data.format == "bytes")
    return fail("bad_model",
                fmt::format("the run's model ({}) has no GPT-2 tokens: benchmarks are for models "
                            "that have",
                            trained.preset_name));
  subject.context = finished_context(*run);
  subject.model = run->model.get();
  subject.run = std::move(run);
  return subject;
}

Result<Subject> load_huggingface_model(const json& job, const MappedTensors& tensors) {
  BITLOOP_ASSIGN(config, read_huggingface_config(job.at("config")));
  if (config.vocab_size != tokenizer::Gpt2::kSize)
    return fail("bad_model",
                fmt::format("config.json: the model has {} tokens, but GPT-2's tokenizer {}",
                            config.vocab_size, tokenizer::Gpt2::kSize));
  Subject subject;
  subject.made = std::make_unique<Gpt2>(Gpt2::empty(config, false));
  subject.model = subject.made.get();
  BITLOOP_TRY(load_huggingface(tensors, *subject.model));
  return subject;
}

json to_json(const TaskRun& run) {
  json documents = json::array();
  for (const Answer& answer : run.answers) {
    json scores = json::array(), greedy = json::array();
    for (const WindowScore& score : answer.scores) {
      scores.push_back(score.log_probability);
      greedy.push_back(score.greedy);
    }
    documents.push_back({{"log_probabilities", scores},
                         {"greedy", greedy},
                         {"gold", answer.question.gold},
                         {"tokens", answer.scores.front().tokens}});
  }
  return documents;
}

json to_json(const std::vector<Metric>& metrics) {
  json values = json::object();
  for (const Metric& metric : metrics)
    values[metric.name] = {
        {"value", metric.value},
        {"stderr", metric.standard_error ? json(*metric.standard_error) : json()}};
  return values;
}

// A record may not be longer than a line of the host's reader: documents go in pieces.
void send_documents(const Records& records, const std::string& task, const json& documents) {
  constexpr size_t kPiece = 500;
  for (size_t begin = 0; begin < documents.size(); begin += kPiece) {
    json piece = json::array();
    for (size_t i = begin; i < std::min(documents.size(), begin + kPiece); ++i)
      piece.push_back(documents[i]);
    records.send("documents", {{"task", task}, {"first", begin}, {"documents", piece}});
  }
}

Status run_all(const json& job, const Records& records, const Subject& subject,
               const tokenizer::Gpt2& tokenizer) {
  BITLOOP_TRY(subject.model->quantize_weights(subject.context));
  std::map<std::string, std::string> read;  // documents by their file
  for (const json& entry : job.at("tasks")) {
    BITLOOP_ASSIGN(task, Task::load(entry.at("content").get<std::string>(),
                                    entry.at("path").get<std::string>()));
    if (!job.at("documents").contains(task.file())) {
      const std::string why = fmt::format(
          "{} is not among the benchmarks: bitloop data benchmarks DIR makes it of the "
          "published file",
          task.file());
      if (!job.at("skip_missing").get<bool>())
        return fail("bad_document", fmt::format("{}: {}", task.name(), why));
      records.send("skipped", {{"task", task.name()}, {"why", why}});
      continue;
    }
    if (!read.contains(task.file())) {
      BITLOOP_ASSIGN(text, read_given(job.at("documents").at(task.file()), kMaxDocuments));
      read[task.file()] = std::move(text);
    }
    const std::string& documents = read.at(task.file());
    TaskRunOptions options;
    options.documents_name = task.file();
    options.limit = job.at("limit");
    options.scoring.batch_tokens = job.at("batch_tokens");
    BITLOOP_ASSIGN(
        run,
        run_task(task, documents, tokenizer, *subject.model, subject.context, options,
                 [&](size_t done, size_t all) {
                   records.send("progress", {{"task", task.name()}, {"done", done}, {"all", all}});
                 }));
    send_documents(records, task.name(), to_json(run));
    records.send("task", {{"task", task.name()},
                          {"documents", run.documents},
                          {"metrics", to_json(measure(task, run.answers))}});
  }
  return {};
}

}  // namespace

Status evaluate_benchmarks(const json& job, const Records& records) {
  const json& model = job.at("model");
  return run_with_weights(
      job, model.at("weights"), records, [&](const MappedTensors& weights) -> Status {
        BITLOOP_ASSIGN(merges, read_given(job.at("vocabulary"), kMaxVocabulary));
        BITLOOP_ASSIGN(tokenizer,
                       tokenizer::Gpt2::from_merges(merges, job.at("vocabulary").at("path")));
        BITLOOP_ASSIGN(subject, model.contains("job") ? load_run(model, weights, records)
                                                      : load_huggingface_model(model, weights));
        records.send("model", {{"parameters", subject.model->parameter_count()}});
        return run_all(job, records, subject, tokenizer);
      });
}

}  // namespace bitloop::trainer
