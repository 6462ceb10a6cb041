"""The page's theme: Gradio's default fonts replaced by the reader's own (no bundled font has Hangul), and colours dark
enough to read (WCAG AA, checked by axe in the tests)."""

import gradio as gr

FONTS = ["Pretendard", "Noto Sans KR", "NanumGothic", "system-ui", "sans-serif"]

THEME = gr.themes.Default(
    primary_hue=gr.themes.colors.blue,
    neutral_hue=gr.themes.colors.slate,
    font=FONTS,
    font_mono=["ui-monospace", "NanumGothicCoding", "monospace"],
).set(
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_text_color="white",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_label_text_color_dark="*neutral_200",
    block_title_text_color="*neutral_700",
    block_title_text_color_dark="*neutral_200",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
)
