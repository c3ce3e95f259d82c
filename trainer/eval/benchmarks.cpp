#include "trainer/eval/benchmarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "harness/base/sha256.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr size_t kMaxDocuments = size_t{4} << 30, kMaxVocabulary = size_t{64} << 20;
constexpr size_t kPiece =
    500;  // documents of a record, which may not be longer than the host reads
constexpr double kPercent = 100.0;

json to_json(const Answer& answer) {
  json scores = json::array(), greedy = json::array();
  for (const WindowScore& score : answer.scores) {
    scores.push_back(score.log_probability);
    greedy.push_back(score.greedy);
  }
  return {{"log_probabilities", scores},
          {"greedy", greedy},
          {"gold", answer.question.gold},
          {"tokens", answer.scores.front().tokens}};
}

void send_documents(const Records& records, const std::string& task,
                    const std::vector<Answer>& answers) {
  for (size_t begin = 0; begin < answers.size(); begin += kPiece) {
    json piece = json::array();
    for (size_t i = begin; i < std::min(answers.size(), begin + kPiece); ++i)
      piece.push_back(to_json(answers[i]));
    records.send("documents", {{"task", task}, {"first", begin}, {"documents", piece}});
  }
}

json to_json(const std::vector<Metric>& metrics) {
  json values = json::object();
  for (const Metric& metric : metrics)
    values[metric.name] = {
        {"value", metric.value},
        {"stderr", metric.standard_error ? json(*metric.standard_error) : json()}};
  return values;
}

// A record now and then, and the last.
class Progress {
 public:
  Progress(const Records& records, std::string task, int every_ms)
      : records_(records), task_(std::move(task)), every_(every_ms) {}
  void operator()(size_t done, size_t all) {
    const auto now = std::chrono::steady_clock::now();
    if (done < all && now - last_ < every_) return;
    last_ = now;
    records_.send("progress", {{"task", task_}, {"done", done}, {"all", all}});
  }

 private:
  const Records& records_;
  const std::string task_;
  const std::chrono::milliseconds every_;
  std::chrono::steady_clock::time_point last_;
};

std::string digest_of(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

// What lies with the benchmarks, not with the model.
bool is_of_the_data(const Error& error) {
  return error.code == "bad_file" || error.code == "bad_document" || error.code == "bad_task";
}

}  // namespace

Result<Benchmarks::File> Benchmarks::open_one(const json& description) {
  File file{description.at("path"), {}};
  if (description.contains("fd")) {
    file.fd = UniqueFd(description.at("fd").get<int>());
  } else {
    BITLOOP_ASSIGN(fd, open_regular(description.at("file").get<std::string>()));
    file.fd = std::move(fd);
  }
  return file;
}

Result<Benchmarks> Benchmarks::open(const json& description) {
  Benchmarks benchmarks;
  for (const json& task : description.at("tasks"))
    benchmarks.tasks_.push_back({task.at("path"), task.at("content")});
  for (const auto& [name, file] : description.at("documents").items()) {
    BITLOOP_ASSIGN(opened, open_one(file));
    benchmarks.files_[name] = std::move(opened);
  }
  BITLOOP_ASSIGN(vocabulary, open_one(description.at("vocabulary")));
  benchmarks.vocabulary_ = std::move(vocabulary);
  benchmarks.limit_ = description.at("limit");
  return benchmarks;
}

Result<std::string> Benchmarks::take(File& file, size_t most) {
  auto text = read_all(file.fd.get(), most);
  file.fd.reset();
  if (!text) return fail("bad_file", fmt::format("{}: {}", file.name, text.error().message));
  return text;
}

Result<const tokenizer::Tokenizer*> Benchmarks::tokenizer() {
  if (!tokenizer_) {
    BITLOOP_ASSIGN(merges, take(vocabulary_, kMaxVocabulary));
    BITLOOP_ASSIGN(made, tokenizer::Gpt2::from_merges(merges, vocabulary_.name));
    tokenizer_ = std::make_unique<tokenizer::Gpt2>(std::move(made));
  }
  return tokenizer_.get();
}

Result<const std::string*> Benchmarks::documents(const std::string& name) {
  if (const auto found = read_.find(name); found != read_.end()) return &found->second;
  const auto file = files_.find(name);
  if (file == files_.end())
    return fail("bad_document", fmt::format("{} is not among the benchmarks: bitloop data "
                                            "benchmarks DIR makes it of the published file",
                                            name));
  BITLOOP_ASSIGN(text, take(file->second, kMaxDocuments));
  return &(read_[name] = std::move(text));
}

Status Benchmarks::run_one(const Source& source, const tokenizer::Tokenizer& tokenizer,
                           Transformer& model, const ForwardContext& context,
                           const BenchmarkOptions& options, const Records& records,
                           BenchmarkScores& scores, std::string& bits) {
  BITLOOP_ASSIGN(task, Task::load(source.content, source.path));
  const auto text = documents(task.file());
  if (!text)
    return fail(text.error().code, fmt::format("{}: {}", task.name(), text.error().message));
  BITLOOP_ASSIGN(
      run, run_task(task, **text, tokenizer, model, context,
                    {.documents_name = task.file(), .limit = limit_, .scoring = options.scoring},
                    Progress(records, task.name(), options.progress_ms)));
  for (const Answer& answer : run.answers)
    for (const WindowScore& score : answer.scores)
      bits.append(reinterpret_cast<const char*>(&score.log_probability),
                  sizeof score.log_probability);
  send_documents(records, task.name(), run.answers);
  const std::vector<Metric> metrics = measure(task, run.answers);
  records.send("eval", {{"task", task.name()},
                        {"documents", run.documents},
                        {"limited", run.limited},
                        {"metrics", to_json(metrics)}});
  scores.limited = scores.limited || run.limited;
  for (const Metric& metric : metrics)
    if (metric.name == task.ledger().metric)
      scores.columns[task.ledger().column] =
          metric.name.starts_with("acc") ? kPercent * metric.value : metric.value;
  return {};
}

Result<BenchmarkScores> Benchmarks::run(Transformer& model, const ForwardContext& context,
                                        BenchmarkOptions options, const Records& records) {
  BITLOOP_ASSIGN(tokens, tokenizer());
  BenchmarkScores scores;
  std::string bits;
  for (const Source& source : tasks_) {
    const Status done = run_one(source, *tokens, model, context, options, records, scores, bits);
    if (done) continue;
    if (!options.skip || !is_of_the_data(done.error())) return std::unexpected(done.error());
    const std::string name = source.path.substr(0, source.path.rfind('.'));
    records.send("skipped", {{"task", name}, {"why", done.error().message}});
    scores.not_measured[name] = done.error().message;
  }
  scores.digest = digest_of(bits);
  std::string read;
  for (const auto& [name, text] : read_) read += name + '\0' + digest_of(text);
  scores.documents_digest = digest_of(read);
  return scores;
}

}  // namespace bitloop::trainer
