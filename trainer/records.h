// The records a run sends to its supervisor: one JSON object a line on a descriptor of its own
// (docs/architecture.md). The descriptor and the nonce are out of the candidate's reach, and
// standard output is never parsed, so a candidate can't forge a record.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace bitloop::trainer {

// The fields of a record `result` that has a status and a sentence and nothing measured.
nlohmann::json bare_result(std::string_view status, std::string_view message);

class Records {
 public:
  // Takes no ownership of `fd`, which stays open until the process ends; -1: nobody wants them.
  Records(int fd, std::string nonce) : fd_(fd), nonce_(std::move(nonce)) {}

  // Writes one record; `type` and the nonce are added. Numbers that are not finite become null.
  // Throws when the pipe is gone: nobody is left who could use the run.
  void send(const char* type, nlohmann::json fields) const;
  // The record as it is written, and where to: for a handler of a signal.
  std::string line_of(const char* type, nlohmann::json fields) const;
  int fd() const { return fd_; }
  void stage(const char* name) const { send("stage", {{"name", name}}); }
  void finding(const std::string& rule, bool ok, const std::string& detail) const {
    send("finding", {{"rule", rule}, {"ok", ok}, {"detail", detail}});
  }

 private:
  int fd_;
  std::string nonce_;
};

}  // namespace bitloop::trainer
