// bitloop-parquet: the Parquet file on standard input as JSON lines on standard output. For the
// host, which runs it in a jail (harness/evaluation/parquet.h). Exit code 0, or 1 with one sentence
// on standard error: what was written before that is worth nothing.
#include <fmt/format.h>
#include <unistd.h>

#include "harness/base/fd.h"
#include "harness/parquet/lines.h"

int main() {
  const bitloop::Status done = bitloop::parquet_lines::write_lines(
      STDIN_FILENO,
      [](std::string_view lines) { return bitloop::write_all(STDOUT_FILENO, lines); });
  if (done) return 0;
  fmt::print(stderr, "{}\n", done.error().message);
  return 1;
}
