// Result<T>: a value or an Error. Expected failures (a bad request, a missing file, a script's
// mistake) are returned as values; exceptions are left for broken invariants. Outcomes of a run
// (crashed, rejected, …) are neither: they are data.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace bitloop {

// A failure that a caller is expected to handle.
struct Error {
  std::string code;     // stable, snake_case, for programs: "edit_out_of_range", "file_not_found"
  std::string message;  // one sentence for people: what was wrong, where, and what to do
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

inline std::unexpected<Error> fail(std::string code, std::string message) {
  return std::unexpected(Error{std::move(code), std::move(message)});
}

}  // namespace bitloop

// Evaluates a Result expression; returns its error from the enclosing function, or binds its value
// to `name`.
#define BITLOOP_ASSIGN(name, expression)                             \
  auto name##_result = (expression);                                 \
  if (!name##_result) return std::unexpected(name##_result.error()); \
  auto name = std::move(*name##_result)

// Returns the error of a Result expression from the enclosing function; goes on when there is none.
#define BITLOOP_TRY(expression)                                                                  \
  do {                                                                                           \
    if (auto try_result = (expression); !try_result) return std::unexpected(try_result.error()); \
  } while (false)
