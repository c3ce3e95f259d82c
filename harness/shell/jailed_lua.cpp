#include "harness/shell/jailed_lua.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/editor/document.h"
#include "harness/shell/process.h"

namespace bitloop::shell {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr size_t kMaxCandidateBytes = size_t{1} << 20;
constexpr size_t kMaxChunkBytes = size_t{1} << 20;
constexpr size_t kMaxTensors = 20;
constexpr std::chrono::seconds kStart{60};  // until a trainer is ready
constexpr std::chrono::seconds kChunk{60};  // Lua's own limit ends a chunk long before
constexpr std::chrono::seconds kGrace{2};   // between Ctrl-C and the end of the process
constexpr std::chrono::milliseconds kCompletion{1000};
constexpr std::chrono::milliseconds kLook{20};  // between two looks at the flag of Ctrl-C

std::unexpected<Error> wrong(std::string message) {
  return fail("wrong_usage", std::move(message));
}

bool is_identifier(std::string_view text) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), good) &&
         !(text[0] >= '0' && text[0] <= '9');
}

Result<Json> read_source(const fs::path& file) {
  BITLOOP_ASSIGN(text, read_file(file, kMaxCandidateBytes));
  BITLOOP_ASSIGN(document, editor::Document::read_only(text, file.filename().string()));
  return Json{{"path", file.filename().string()}, {"content", document.text()}};
}

// Every quantizer of the folder, by name. What can't be read is not in the zoo.
Json read_zoo(const fs::path& folder) {
  Json zoo = Json::object();
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() != ".lua") continue;
    if (auto source = read_source(entry->path())) zoo[entry->path().stem().string()] = *source;
  }
  return zoo;
}

Result<UniqueFd> open_tensor(const TensorOption& option) {
  auto fd = open_regular(option.path);
  if (!fd) return wrong(fmt::format("--tensor {}: {}", option.name, fd.error().message));
  return fd;
}

}  // namespace

Result<TensorOption> parse_tensor_option(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals + 1 == text.size() ||
      !is_identifier(std::string_view(text).substr(0, equals)))
    return wrong(fmt::format("--tensor takes NAME=FILE or NAME=FILE:TENSOR, got '{}'", text));
  TensorOption option{text.substr(0, equals), text.substr(equals + 1), ""};
  std::error_code ignored;
  const std::string path = option.path.string();
  // FILE ends at the last colon that leaves a file's name.
  for (size_t colon = path.rfind(':');
       colon != std::string::npos && colon > 0 && !fs::exists(option.path, ignored);
       colon = path.rfind(':', colon - 1)) {
    if (!fs::exists(path.substr(0, colon), ignored)) continue;
    option.path = path.substr(0, colon);
    option.tensor = path.substr(colon + 1);
  }
  return option;
}

Result<fs::path> find_quantizer(const std::string& given, const fs::path& quantizers) {
  std::error_code ignored;
  if (fs::exists(given, ignored)) return fs::path(given);
  if (is_identifier(given)) {
    const fs::path in_zoo = quantizers / (given + ".lua");
    if (fs::exists(in_zoo, ignored)) return in_zoo;
  }
  return wrong(fmt::format("there is no file {}, and no quantizer of that name in {}", given,
                           quantizers.string()));
}

std::string harmless_text(std::string_view text) {
  std::string safe;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool c1 = c == 0xc2 && i + 1 < text.size() && (text[i + 1] & 0xe0) == 0x80;
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      safe += '?';
    else if (c1)
      safe += '?', ++i;
    else
      safe += text[i];
  }
  return safe;
}

JailedLua::JailedLua(Setup setup) : setup_(std::move(setup)) {}
JailedLua::~JailedLua() = default;
const Greeting& JailedLua::greeting() const { return greeting_; }

Result<std::unique_ptr<JailedLua>> JailedLua::start(Setup setup) {
  if (setup.tensors.size() > kMaxTensors)
    return wrong(fmt::format("at most {} files can be given with --tensor", kMaxTensors));
  std::unique_ptr<JailedLua> lua(new JailedLua(std::move(setup)));
  lua->zoo_ = read_zoo(lua->setup_.quantizers);
  BITLOOP_TRY(lua->launch());
  return lua;
}

Status JailedLua::launch() {
  process_.reset();
  Json candidate;
  if (!setup_.file.empty()) {
    BITLOOP_ASSIGN(source, read_source(setup_.file));
    candidate = std::move(source);
  }
  std::vector<UniqueFd> files;
  Json tensors = Json::array();
  for (const TensorOption& option : setup_.tensors) {
    BITLOOP_ASSIGN(fd, open_tensor(option));
    tensors.push_back({{"name", option.name},
                       {"path", option.path.string()},
                       {"tensor", option.tensor},
                       {"fd", Process::file_fd(files.size())}});
    files.push_back(std::move(fd));
  }
  Json job = {{"schema_version", 1},    {"kind", "shell"}, {"chunk_name", setup_.chunk_name},
              {"candidate", candidate}, {"zoo", zoo_},     {"tensors", tensors}};
  BITLOOP_ASSIGN(process, Process::start(std::move(job), files,
                                         {.allow_degraded = setup_.allow_degraded}));
  process_ = std::move(process);
  return read_greeting();
}

Status JailedLua::read_greeting() {
  const auto until = Clock::now() + kStart;
  while (const auto record = process_->next(until)) {
    if (record->value("type", "") != "ready") continue;
    const Json bad = record->value("bad_tensor", Json());
    if (bad.is_string()) return wrong(single_line(bad.get<std::string>()));
    const Json quantizer = record->value("quantizer", Json()),
               error = record->value("error", Json());
    greeting_ = {};
    if (quantizer.is_object()) {
      greeting_.quantizer = single_line(quantizer.value("name", ""));
      greeting_.doc = single_line(quantizer.value("doc", ""));
    }
    if (error.is_string()) greeting_.error = single_line(error.get<std::string>());
    greeting_.tensors = record->value("tensors", Json::object());
    return {};
  }
  return fail("infrastructure", fmt::format("the jailed Lua did not start: {}", end_of_process()));
}

// Ends the process, if it lives, and tells why it ended.
std::string JailedLua::end_of_process() {
  const bool dead = process_->ended();
  if (!dead) process_->kill();
  while (!process_->ended()) (void)process_->next(Clock::now() + kLook);
  std::string reason = dead ? process_->reason() : "it did not answer in time";
  process_.reset();
  return reason;
}

Result<Evaluated> JailedLua::evaluate(std::string_view code, int64_t line, bool more,
                                      const std::function<void(std::string_view)>& print,
                                      const std::atomic<bool>& interrupted) {
  Evaluated result;
  const auto ends = [&](std::string code_, std::string sentence) {
    result.code = std::move(code_);
    result.error = std::move(sentence);
    return result;
  };
  if (code.size() > kMaxChunkBytes)
    return ends("script_error", fmt::format("a chunk may have {} KiB", kMaxChunkBytes >> 10));
  if (!process_) BITLOOP_TRY(launch());
  const uint64_t id = ++last_id_;
  if (!process_->send({{"id", id}, {"op", "eval"}, {"code", code}, {"line", line}, {"more", more}}))
    return result.lost = true, ends("violation", "the jailed Lua is gone: " + end_of_process());

  const auto deadline = Clock::now() + kChunk;
  std::optional<Clock::time_point> asked;  // the chunk to end
  while (true) {
    const auto record = process_->next(Clock::now() + kLook);
    const auto now = Clock::now();
    if (interrupted && !asked) {
      process_->interrupt(id);
      asked = now;
    }
    if (!record) {
      if (process_->ended()) {
        result.lost = true;
        return ends("violation", "the jailed Lua ended: " + end_of_process());
      }
      const bool stuck = asked && now > *asked + kGrace;
      if (!stuck && now < deadline) continue;
      process_->kill();
      (void)end_of_process();
      result.lost = true;
      return stuck ? ends("interrupted", "interrupted")
                   : ends("timeout", fmt::format("took longer than {} s", kChunk.count()));
    }
    const std::string type = record->value("type", "");
    if (type == "output") {
      print(harmless_text(record->value("text", "")));
    } else if (type == "need_source") {
      Json reply = {{"error", nullptr}};
      if (setup_.file.empty()) {
        reply["error"] =
            "the shell was started without a FILE; use(\"ternary\") takes one of the zoo";
      } else if (auto source = read_source(setup_.file)) {
        reply.update(*source);
      } else {
        reply["error"] = source.error().message;
      }
      (void)process_->send(reply);
    } else if (type == "answer" && record->value("id", uint64_t{0}) == id) {
      const Json error = record->value("error", Json());
      result.incomplete = record->value("incomplete", false);
      result.lost = record->value("lost", false);
      if (error.is_object()) {
        result.code = error.value("code", "script_error");
        result.error = single_line(error.value("message", ""));
      }
      return result;
    }
  }
}

std::vector<std::string> JailedLua::complete(std::string_view text) {
  std::vector<std::string> names;
  const uint64_t id = ++last_id_;
  if (!process_ || process_->ended()) return names;
  if (!process_->send({{"id", id}, {"op", "complete"}, {"text", text}})) return names;
  const auto until = Clock::now() + kCompletion;
  while (const auto record = process_->next(until)) {
    if (record->value("type", "") != "answer" || record->value("id", uint64_t{0}) != id) continue;
    for (const Json& name : record->value("names", Json::array()))
      if (name.is_string()) names.push_back(harmless_text(name.get<std::string>()));
    break;
  }
  return names;
}

}  // namespace bitloop::shell
