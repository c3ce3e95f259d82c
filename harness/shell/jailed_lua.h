// The host's side of `bitloop lua`: a trainer in a jail that evaluates chunks. It has neither the
// terminal nor a file's name, only pipes and the descriptors of the tensors' files. When it dies,
// the next chunk gets a new one.
//
// Requests go in as JSON lines; records come out through jobs::EventStream, so nothing that a chunk
// printed is taken for an answer. What it printed is text of a stranger: harmless_text() it.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/result.h"

namespace bitloop::shell {

class Process;

struct TensorOption {
  std::string name;  // of the global
  std::filesystem::path path;
  std::string tensor;  // one of a safetensors file; "": all of it
};
// Takes NAME=PATH or NAME=PATH:TENSOR apart; a path that exists as it stands is one, colons
// included. Error "wrong_usage".
Result<TensorOption> parse_tensor_option(const std::string& text);

struct Setup {
  std::string chunk_name;      // "-e", "stdin" or "lua", in messages
  std::filesystem::path file;  // the quantizer; empty: none
  std::vector<TensorOption> tensors;
  std::filesystem::path quantizers;  // folder of the zoo
  bool allow_degraded = false;
};

// What became of a chunk.
struct Evaluated {
  bool incomplete = false;  // more lines are needed
  bool lost = false;        // variables are gone: the environment is new
  std::string error;        // a sentence; "" when all went well
  std::string code;         // of the error: "script_error", "timeout", "interrupted", …
};

// What the shell starts with.
struct Greeting {
  std::string quantizer, doc;      // "" when there is none
  std::string error;               // of FILE
  nlohmann::ordered_json tensors;  // name -> what it is
};

class JailedLua {
 public:
  // Opens the files and starts a jail. Errors: "wrong_usage" (FILE or a tensor that can't be read,
  // or is not what it should be), "sandbox_missing", "infrastructure".
  static Result<std::unique_ptr<JailedLua>> start(Setup setup);
  ~JailedLua();
  JailedLua(const JailedLua&) = delete;
  JailedLua& operator=(const JailedLua&) = delete;

  const Greeting& greeting() const;
  // Runs a chunk. `print` gets what it prints, as it comes. When `interrupted` becomes true the
  // chunk is stopped. Errors: those of start, when a new jail was needed and could not be had.
  Result<Evaluated> evaluate(std::string_view code, int64_t line, bool more,
                             const std::function<void(std::string_view)>& print,
                             const std::atomic<bool>& interrupted);
  // Words that may stand for the last word of `text`; empty when the jail does not answer at once.
  std::vector<std::string> complete(std::string_view text);

 private:
  explicit JailedLua(Setup setup);
  Status launch();
  Status read_greeting();
  std::string end_of_process();

  Setup setup_;
  nlohmann::ordered_json zoo_;
  Greeting greeting_;
  std::unique_ptr<Process> process_;  // null: it died, the next chunk starts one
  uint64_t last_id_ = 0;
};

// FILE of the command line: a path, or the name of a quantizer of the zoo. Error "wrong_usage".
Result<std::filesystem::path> find_quantizer(const std::string& given,
                                             const std::filesystem::path& quantizers);

// Text of the jail for a terminal: line ends and tabs stay, other control characters do not.
std::string harmless_text(std::string_view text);

}  // namespace bitloop::shell
