// What comes out of the jail: records, the curve made of them, and the verdict. However the bytes
// are cut, the same is read; and whatever was read can be written into the run's files.
#include "harness/base/text.h"
#include "harness/jobs/event_stream.h"
#include "harness/jobs/log_table.h"
#include "harness/jobs/outcome.h"
#include "tests/fuzz/fuzz.h"

namespace bitloop::jobs {
namespace {

using fuzz::require;

struct Read {
  std::vector<Json> records;
  std::string violation;
};

Read read(std::string_view bytes, size_t chunk) {
  Read read;
  EventStream stream("0123", [&](const Json& record) { read.records.push_back(record); });
  for (; !bytes.empty(); bytes.remove_prefix(std::min(chunk, bytes.size())))
    if (!stream.feed(bytes.substr(0, chunk))) break;
  read.violation = stream.violation();
  return read;
}

void check_curve(const std::vector<Json>& records) {
  LogTable table;
  std::string text;
  for (const Json& record : records) text += table.take(record);
  text += table.finish();
  for (const std::string& line : split_lines(text))
    require(split(line, '\t').size() == 12, "a line of the curve has its 12 columns");
}

Outcome outcome_of(const Read& read) {
  Reported reported;
  reported.violation = read.violation;
  for (const Json& record : read.records) {
    if (record["type"] == "result") reported.result = record;
    if (record.value("name", Json()) == "candidate_loaded") reported.candidate_loaded = true;
  }
  sandbox::Verdict jail;
  jail.exit_code = 0;
  return judge(std::move(jail), std::move(reported), {});
}

}  // namespace
}  // namespace bitloop::jobs

// The first byte says where the stream is cut, and a line "repetition" begins what a second process
// says.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloop::jobs;
  bitloop::fuzz::Input input(data, size);
  const size_t chunk = 1 + input.byte();
  const std::string text = input.rest();
  const size_t border = text.find("\nrepetition\n");
  const std::string first = text.substr(0, border == std::string::npos ? border : border + 1);
  const std::string second = border == std::string::npos ? first : text.substr(border + 12);

  const Read whole = read(first, first.size() + 1), cut = read(first, chunk);
  bitloop::fuzz::require(whole.records == cut.records, "cut or whole, the records are the same");
  bitloop::fuzz::require(whole.violation == cut.violation, "and so is what is refused");
  for (const Json& record : whole.records)
    bitloop::fuzz::require(!record.contains("nonce"), "a nonce goes no further");
  check_curve(whole.records);

  Outcome outcome = outcome_of(whole);
  if (outcome.status == "ok") compare_with_repetition(outcome, outcome_of(read(second, chunk)));
  verdict_document(outcome).dump();
  return 0;
}
