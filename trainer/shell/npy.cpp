#include "trainer/shell/npy.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "trainer/shell/element_types.h"

namespace bitloop::trainer::shell {
namespace {

constexpr size_t kMaxHeader = 64 << 10;
constexpr size_t kMaxRank = 16;

std::unexpected<Error> bad(std::string message) { return fail("bad_tensor", std::move(message)); }

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads the one form of dict that NumPy writes: three known keys, each once, in any order.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : rest_(text) {}

  std::optional<Header> read() {
    Header header;
    bool descr = false, order = false, shape = false;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      std::string key;
      if (!string(key) || !take(':')) return std::nullopt;
      bool* const seen = key == "descr"           ? &descr
                         : key == "fortran_order" ? &order
                         : key == "shape"         ? &shape
                                                  : nullptr;
      if (seen == nullptr || *seen) return std::nullopt;
      *seen = true;
      const bool good = seen == &descr   ? string(header.descr)
                        : seen == &order ? boolean(header.fortran_order)
                                         : sizes(header.shape);
      if (!good) return std::nullopt;
      if (!take(',') && !at('}')) return std::nullopt;
    }
    skip();
    if (!rest_.empty() || !descr || !order || !shape) return std::nullopt;
    return header;
  }

 private:
  void skip() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n'))
      rest_.remove_prefix(1);
  }
  bool at(char c) {
    skip();
    return !rest_.empty() && rest_.front() == c;
  }
  bool take(char c) {
    if (!at(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view text) {
    skip();
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  bool string(std::string& into) {
    const char quote = at('"') ? '"' : '\'';
    if (!take(quote)) return false;
    const size_t end = rest_.find(quote);
    if (end == std::string_view::npos || rest_.substr(0, end).find('\\') != std::string_view::npos)
      return false;
    into = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return true;
  }
  bool boolean(bool& into) {
    into = word("True");
    return into || word("False");
  }
  bool sizes(std::vector<int64_t>& into) {
    if (!take('(')) return false;
    while (!take(')')) {
      skip();
      int64_t size = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error != std::errc() || size < 0 || into.size() == kMaxRank) return false;
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      into.push_back(size);
      // "(3)" is a number in Python, "(3,)" a shape.
      if (!take(',') && (!at(')') || into.size() == 1)) return false;
    }
    return true;
  }

  std::string_view rest_;
};

// The header's text, and the numbers after it.
struct Parts {
  std::string_view header, data;
};

Result<Parts> take_apart(std::string_view file) {
  if (!file.starts_with(kNpyMagic))
    return bad("is not a .npy file: it does not begin with \\x93NUMPY (save it with numpy.save)");
  file.remove_prefix(kNpyMagic.size());
  const auto byte = [&](size_t i) { return size_t{static_cast<uint8_t>(file[i])}; };
  if (file.size() < 4) return bad("is cut short within its first bytes");
  const size_t version = byte(0);
  if (version < 1 || version > 3)
    return bad(
        fmt::format("has version {}.{} of the .npy format; 1 to 3 are read", version, byte(1)));
  const size_t width = version == 1 ? 2 : 4;
  if (file.size() < 2 + width) return bad("is cut short within its first bytes");
  size_t length = 0;
  for (size_t i = 0; i < width; ++i) length |= byte(2 + i) << (8 * i);
  file.remove_prefix(2 + width);
  if (length > kMaxHeader)
    return bad(
        fmt::format("claims a header of {} bytes; none has more than {}", length, kMaxHeader));
  if (length > file.size()) return bad("is cut short within its header");
  return Parts{file.substr(0, length), file.substr(length)};
}

Result<const ElementType*> element_type(const std::string& descr) {
  if (descr.size() > 1 && descr[0] == '>')
    return bad(fmt::format("holds big-endian numbers ('{}'): save x.astype('<{}')", descr,
                           descr.substr(1)));
  if (descr.find('O') != std::string::npos)
    return bad("holds Python objects, which are code: save numbers");
  const std::string_view name =
      std::string_view(descr).substr(descr.empty() || !std::strchr("<|=", descr[0]) ? 0 : 1);
  for (const ElementType& type : kElementTypes)
    if (!name.empty() && type.npy == name) return &type;
  return bad(fmt::format(
      "holds numbers of type '{}'; float16, float32, float64, int8 to int64, uint8 and bool are "
      "read: save x.astype('float32')",
      descr.substr(0, 40)));
}

}  // namespace

Result<at::Tensor> read_npy(std::string_view file) {
  BITLOOP_ASSIGN(parts, take_apart(file));
  auto header = HeaderReader(parts.header).read();
  if (!header) return bad("has a header that numpy.save does not write");
  BITLOOP_ASSIGN(type, element_type(header->descr));
  const auto count = count_of(header->shape);
  if (!count)
    return bad(fmt::format("has the shape ({}), more numbers than the {} MiB that are read",
                           fmt::join(header->shape, ", "), kMaxTensorBytes >> 20));
  const uint64_t bytes = *count * type->bytes;
  if (bytes != parts.data.size())
    return bad(fmt::format("holds {} bytes of numbers where its shape ({}) needs {}",
                           parts.data.size(), fmt::join(header->shape, ", "), bytes));
  std::vector<int64_t> shape = header->shape;
  if (header->fortran_order) std::reverse(shape.begin(), shape.end());
  // The numbers may lie at any address: copied as bytes first.
  at::Tensor raw = at::empty(shape, at::TensorOptions(type->type));
  if (bytes > 0) std::memcpy(raw.data_ptr(), parts.data.data(), bytes);
  at::Tensor tensor = raw.to(at::kFloat);
  if (header->fortran_order) {
    std::vector<int64_t> dims(shape.size());
    for (size_t d = 0; d < dims.size(); ++d) dims[d] = static_cast<int64_t>(dims.size() - 1 - d);
    tensor = tensor.permute(dims).contiguous();
  }
  return tensor;
}

}  // namespace bitloop::trainer::shell
