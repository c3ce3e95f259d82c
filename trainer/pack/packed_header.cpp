#include "trainer/pack/packed_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <new>
#include <span>

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>  // the best instructions that the processor has
#else
#include <xxhash.h>
#endif

#include "trainer/kernels/prefetch.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr const char *kFormat = "bitloop-packed", *kVersion = "1";
// Metadata of the header: all are text, as the format wants it.
constexpr const char *kChecksum = "header_xxh3", *kDescription = "bitloop";

std::unexpected<Error> bad(std::string message) { return fail("bad_weights", std::move(message)); }

}  // namespace

// The hash asks memory for so little ahead that it waits: each piece is asked for while the one
// before is hashed.
std::string checksum(const void* data, size_t size) {
  constexpr size_t kPiece = size_t{16} << 10;
  const std::span bytes(static_cast<const uint8_t*>(data), size);
  if (size <= 2 * kPiece) return fmt::format("{:016x}", XXH3_64bits(data, size));
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  for (size_t i = 0; i < size; i += kPiece) {
    const auto piece = [&](size_t at) {
      return at < size ? bytes.subspan(at, std::min(kPiece, size - at))
                       : std::span<const uint8_t>();
    };
    kernels::ask_for(piece(i + kPiece));
    XXH3_64bits_update(state.get(), piece(i).data(), piece(i).size());
  }
  return fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
}

std::string with_zeros(std::string_view header) {
  std::string text(header);
  const std::string key = fmt::format("\"{}\":\"", kChecksum);
  if (const size_t at = text.find(key); at != std::string::npos)
    for (size_t i = at + key.size(); i < std::min(text.size(), at + key.size() + 16); ++i)
      text[i] = '0';
  return text;
}

std::map<std::string, std::string> packed_metadata(const json& description) {
  return {{"format", kFormat},
          {"version", kVersion},
          {kChecksum, std::string(16, '0')},
          {kDescription, description.dump()}};
}

void seal_metadata(std::string_view header, std::map<std::string, std::string>& metadata) {
  metadata[kChecksum] = checksum(header.data(), header.size());
}

Result<json> read_description(const MappedTensors& tensors) {
  const auto text = [&](const char* name) {
    const auto found = tensors.metadata().find(name);
    return found == tensors.metadata().end() ? std::string() : found->second;
  };
  if (text("format") != kFormat) return bad("is no packed model");
  if (text("version") != kVersion)
    return bad(
        fmt::format("is a packed model of version '{}', and this version of bitloop reads {}",
                    text("version").substr(0, 20), kVersion));
  const std::string zeros = with_zeros(tensors.header());
  if (text(kChecksum) != checksum(zeros.data(), zeros.size()))
    return bad("is damaged: its header has another checksum than it says");
  json description = json::parse(text(kDescription), nullptr, /*allow_exceptions=*/false);
  if (!description.is_object() || !description.contains("xxh3") || !description["xxh3"].is_object())
    return bad("has no description of its model");
  return description;
}

}  // namespace bitloop::trainer
