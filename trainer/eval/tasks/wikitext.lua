-- WikiText-2 (Merity et al. 2017) by documents: perplexities of a detokenised page per word, byte and bit of the published one.

local function replace(text, from, to)
  return (text:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%"))))
end

return {
  name = "wikitext",
  kind = "document",
  file = "wikitext2.jsonl",
  fields = {"page"},
  original = "{page}",
  text = function(d)
    local s = replace(d.page, "s '", "s'")
    s = s:gsub("/' [0-9]/", "/'[0-9]/")
    for _, pair in ipairs{{" @-@ ", "-"}, {" @,@ ", ","}, {" @.@ ", "."},
                          {" : ", ": "}, {" ; ", "; "}, {" . ", ". "}, {" ! ", "! "}, {" ? ", "? "}, {" , ", ", "}} do
      s = replace(s, pair[1], pair[2])
    end
    s = s:gsub("%(%s*([^%)]-)%s*%)", "(%1)")
    s = s:gsub("%[%s*([^%]]-)%s*%]", "[%1]")
    s = s:gsub("{%s*([^}]-)%s*}", "{%1}")
    s = s:gsub('"%s*([^"]-)%s*"', '"%1"')
    s = s:gsub("'%s*([^']-)%s*'", "'%1'")
    for _, pair in ipairs{{"= = = =", "===="}, {"= = =", "==="}, {"= =", "=="}, {" \u{b0} ", "\u{b0}"},
                          {" \n", "\n"}, {"\n ", "\n"}, {" N ", " 1 "}, {" 's", "'s"}} do
      s = replace(s, pair[1], pair[2])
    end
    return s
  end,
  metrics = {"word_perplexity", "byte_perplexity", "bits_per_byte"},
}
