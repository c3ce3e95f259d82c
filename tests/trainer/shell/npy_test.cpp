#include "trainer/shell/npy.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace bitloop::trainer::shell {
namespace {

using testing::HasSubstr;

template <typename Number>
std::string bytes_of(const std::vector<Number>& numbers) {
  std::string bytes(numbers.size() * sizeof(Number), '\0');
  if (!numbers.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

std::string with_header(std::string header, const std::string& data, char version = 1) {
  header += '\n';
  std::string file(kNpyMagic);
  file += {version, '\0'};
  const size_t width = version == 1 ? 2 : 4;
  for (size_t i = 0; i < width; ++i) file += static_cast<char>(header.size() >> (8 * i));
  return file + header + data;
}

std::string npy(const std::string& descr, const std::string& shape, const std::string& data,
                const char* fortran = "False", char version = 1) {
  return with_header(
      "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }   ",
      data, version);
}

std::string error_of(const std::string& file) {
  const auto read = read_npy(file);
  EXPECT_FALSE(read) << "was read";
  return read ? "" : read.error().message;
}

TEST(Npy, ReadsWhatNumpyWrites) {
  for (const char version : {1, 2, 3}) {
    const auto read =
        read_npy(npy("<f4", "(2, 2)", bytes_of<float>({1, 2, 3, 4}), "False", version));
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->equal(at::tensor({1.f, 2.f, 3.f, 4.f}).view({2, 2})));
  }
  EXPECT_TRUE(read_npy(npy("<f8", "(1,)", bytes_of<double>({0.5})))->equal(at::tensor({0.5f})));
  EXPECT_TRUE(read_npy(npy("<f2", "(1,)", std::string("\x00\x3c", 2)))->equal(at::tensor({1.f})));
  EXPECT_TRUE(read_npy(npy("<i8", "(1,)", bytes_of<int64_t>({-3})))->equal(at::tensor({-3.f})));
  EXPECT_TRUE(read_npy(npy("|u1", "(1,)", "\xff"))->equal(at::tensor({255.f})));
  EXPECT_TRUE(read_npy(npy("|b1", "(2,)", std::string("\1\0", 2)))->equal(at::tensor({1.f, 0.f})));
  EXPECT_EQ(read_npy(npy("<f4", "()", bytes_of<float>({7})))->dim(), 0);
  EXPECT_EQ(read_npy(npy("<f4", "(0, 3)", ""))->sizes(), at::IntArrayRef({0, 3}));
}

TEST(Npy, FortranOrderIsTurned) {
  const auto read = read_npy(npy("<f4", "(2, 3)", bytes_of<float>({1, 4, 2, 5, 3, 6}), "True"));
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->is_contiguous());
  EXPECT_TRUE(read->equal(at::arange(1, 7, at::kFloat).view({2, 3})));
}

TEST(Npy, EachFaultIsASentence) {
  const std::string one = bytes_of<float>({1});
  EXPECT_THAT(error_of("PK\3\4"), HasSubstr("does not begin with"));
  EXPECT_THAT(error_of(npy(">f4", "(1,)", one)),
              HasSubstr("big-endian numbers ('>f4'): save x.astype('<f4')"));
  EXPECT_THAT(error_of(npy("<c8", "(1,)", one + one)), HasSubstr("type '<c8'"));
  EXPECT_THAT(error_of(npy("|O", "(1,)", one + one)), HasSubstr("Python objects"));
  EXPECT_THAT(error_of(npy("", "(1,)", one)), HasSubstr("type ''"));
  EXPECT_THAT(error_of(npy("<f4", "(2,)", one)),
              HasSubstr("holds 4 bytes of numbers where its shape (2) needs 8"));
  EXPECT_THAT(error_of(npy("<f4", "(1,)", one + "x")), HasSubstr("holds 5 bytes"));
  EXPECT_THAT(error_of(npy("<f4", "(1,)", one, "False", 4)), HasSubstr("version 4.0"));
}

TEST(Npy, EveryCutFileIsRefused) {
  const std::string whole = npy("<f4", "(3,)", bytes_of<float>({1, 2, 3}));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read_npy(whole.substr(0, size))) << size;
}

TEST(Npy, ShapesThatOverflowAreRefused) {
  for (const char* shape : {"(4611686018427387904, 4)", "(9223372036854775807,)",
                            "(0, 9223372036854775807, 2)", "(1073741824,)"})
    EXPECT_THAT(error_of(npy("<f4", shape, "")), HasSubstr("more numbers than")) << shape;
}

TEST(Npy, HeadersThatNumpyDoesNotWriteAreRefused) {
  for (const char* header :
       {"", "{", "{}", "[]", "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + evil()",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f\\'4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}"})
    EXPECT_THAT(error_of(with_header(header, bytes_of<float>({1}))),
                HasSubstr("a header that numpy.save"))
        << header;
  std::string claims(kNpyMagic);
  claims += std::string("\x02\x00\xff\xff\xff\xff", 6);
  EXPECT_THAT(error_of(claims), HasSubstr("claims a header of"));
}

}  // namespace
}  // namespace bitloop::trainer::shell
