// Stands in for bitloop-trainer: plays the candidate's content as a script, a command a line, and
// ends well if nothing stops it. What is no command is passed over.
//
// - loaded: the record "candidate_loaded"
// - lock: narrows its own system calls
// - step N LOSS, val N LOSS: such a record
// - result JSON: the result record, with the nonce
// - weights: writes output/weights.safetensors
// - raw TEXT: TEXT as a line on the event stream
// - bytes N: N bytes without a line end on it
// - forge NAME: one of forgeries.cpp
// - noise N: N MiB on stdout
// - exit N: ends
// - attempt NAME ARG: one of tests/sandbox/attempts.h; its outcome is said on stdout
// - verify JSON: in the repetition this is the result, and the rest is skipped
// - verify-do LINE: in the repetition only
// - train-do LINE: in the first process only
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "sandbox/lock_down.h"
#include "tests/harness/jobs/forgeries.h"
#include "tests/sandbox/attempts.h"

namespace {

using Json = nlohmann::ordered_json;

std::string nonce;

void put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

void send(Json record) {
  record["nonce"] = nonce;
  put(4, record.dump() + "\n");
}

std::string read_whole(int fd) {
  std::string text;
  char block[4096];
  for (ssize_t count; (count = ::read(fd, block, sizeof block)) > 0;)
    text.append(block, static_cast<size_t>(count));
  ::close(fd);
  return text;
}

void play(const std::string& line, const std::string& kind) {
  std::istringstream words(line);
  std::string verb, rest;
  words >> verb >> std::ws;
  std::getline(words, rest);
  if (verb == "verify-do") {
    if (kind == "verify") play(rest, kind);
  } else if (verb == "train-do") {
    if (kind != "verify") play(rest, kind);
  } else if (verb == "verify") {
    if (kind != "verify") return;
    send(Json::parse(rest));
    std::exit(0);
  } else if (verb == "loaded") {
    send({{"type", "stage"}, {"name", "candidate_loaded"}});
  } else if (verb == "lock") {
    if (!bitloop::sandbox::lock_down(bitloop::sandbox::LockDownProfile::kCpu)) std::_Exit(70);
  } else if (verb == "step" || verb == "val") {
    std::istringstream numbers(rest);
    int step = 0;
    double loss = 0;
    numbers >> step >> loss;
    if (verb == "step")
      send({{"type", "step"},
            {"step", step},
            {"lambda", 1},
            {"train_loss", loss},
            {"train_ppl", 9.5},
            {"lr", 0.001},
            {"time_s", 0.5},
            {"q_neg1", 0.25},
            {"q_zero", 0.5},
            {"q_pos1", 0.25}});
    else
      send({{"type", "val"}, {"step", step}, {"lambda", 1}, {"val_loss", loss}, {"val_bpb", 2.5}});
  } else if (verb == "result") {
    send(Json::parse(rest));
  } else if (verb == "weights") {
    const int fd = ::open("output/weights.safetensors", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    put(fd, "weights");
    ::close(fd);
  } else if (verb == "raw") {
    put(4, rest + "\n");
  } else if (verb == "bytes") {
    put(4, std::string(std::stoul(rest), 'x'));
  } else if (verb == "forge") {
    if (!bitloop::testing::forge(rest, nonce)) std::_Exit(71);
  } else if (verb == "noise") {
    const std::string block(1 << 20, '.');
    for (int i = 0; i < std::stoi(rest); ++i) put(1, block);
  } else if (verb == "exit") {
    std::_Exit(std::stoi(rest));
  } else if (verb == "attempt") {
    std::istringstream parts(rest);
    std::string name, argument;
    parts >> name >> argument;
    const int error = bitloop::testing::attempt(name, argument);
    put(1, name + ": " + (error == 0 ? "worked" : std::strerror(error)) + "\n");
  }
}

}  // namespace

int main() {
  Json job = Json::parse(read_whole(3));
  nonce = job.at("nonce").get<std::string>();
  send({{"type", "header"}, {"schema_version", 1}, {"kind", job.at("kind")}});
  if (job["candidate"].is_null()) {  // it comes later; "prelude" is played before
    std::istringstream prelude(job.value("prelude", ""));
    for (std::string line; std::getline(prelude, line);) play(line, "check");
    const std::string late = read_whole(job.at("candidate_fd").get<int>());
    if (late.empty()) return 3;
    job["candidate"] = Json::parse(late);
  }
  std::istringstream script(job.at("candidate").at("content").get<std::string>());
  for (std::string line; std::getline(script, line);) play(line, job.at("kind").get<std::string>());
  return 0;
}
