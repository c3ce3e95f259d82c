// Precompiled header of every target that uses LibTorch: parsing ATen takes seconds, once here
// instead of in each file.
#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <string>
#include <vector>
