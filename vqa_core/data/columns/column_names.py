"""The names that people give to the columns of a VQA table, in several languages, and when two names are the same."""

import unicodedata

USUAL: dict[str, tuple[str, ...]] = {
    "question_id": (
        "question_id qid q_id question_no question_number 질문id 질문아이디 질문번호 문항id 문항번호 문제id 문제번호 "
        "問題番号 質問番号 问题编号",
        "id ids uid uuid sample_id item_id example_id row_id data_id key 아이디 식별자 고유번호 번호 编号 序号 番号",
        "index idx no num number 인덱스 순번 연번",
        "unnamed:0",
    ),
    "image_id": (
        "image_id img_id picture_id photo_id 이미지id 이미지아이디 이미지번호 사진id 사진아이디 사진번호 그림id 图片id "
        "图像id 画像id",
        "image img picture photo 이미지 사진 그림 图片 图像 画像 imagen bild",
        "image_path img_path image_file img_file image_name img_name image_filename picture_path photo_path "
        "이미지경로 이미지파일 이미지명 이미지이름 이미지파일명 사진경로 사진파일 사진이름 图片路径 画像パス",
        "path file file_name file_path 경로 파일 파일명 파일이름 파일경로 文件名 ファイル名",
    ),
    "question": (
        "question questions question_text 질문 질의 문제 물음 질문내용 질문텍스트 문항 问题 問題 質問 pregunta frage",
        "query prompt q text sentence 텍스트 문장 프롬프트",
    ),
    "answer": (
        "answer answers answer_text multiple_choice_answer ans label target prediction predictions predicted pred "
        "predicted_answer response output result ground_truth gt correct_answer "
        "정답 답 답변 응답 예측 예측값 예측답 라벨 레이블 결과 정답값 答案 回答 答え 解答 respuesta réponse antwort",
    ),
    "image": (
        "image img 이미지 사진 그림",
        "image_path img_path image_file img_file image_filename picture_path photo_path 이미지경로 이미지파일 사진경로 "
        "사진파일",
        "path file file_name file_path image_name img_name 경로 파일 파일명 파일이름 파일경로",
    ),
}
"""Field of `ColumnMap` -> the names for it, the surest first: those of a later line count only without an earlier."""


def key_of(name: str) -> str:
    """What two names have in common that differ only in case, blanks, `_`, `-` or marks that nobody sees."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in text if c not in "_-" and not c.isspace() and unicodedata.category(c) != "Cf")


KEYS: dict[str, tuple[frozenset[str], ...]] = {
    field: tuple(frozenset(map(key_of, line.split())) for line in lines) for field, lines in USUAL.items()
}
"""USUAL as keys."""


def fields_named(name: str) -> set[str]:
    """The fields of `ColumnMap` that a column of that name usually holds."""
    key = key_of(name)
    return {field for field, lines in KEYS.items() if any(key in line for line in lines)}
