# ---
# title: Train on texts, categories and numbers
# description: >-
#   One scikit-learn pipeline from the raw columns to a probability, so that a request needs no preparation.
#   Categories that were never seen share a column, missing texts are empty and missing numbers the median: nothing of
#   it is an error in production.
# tags: [sklearn, training]
# placeholders:
#   train: {default: train, description: DataFrame to learn from}
#   text: {default: remarks, description: column of free text}
#   categories: {default: [origin, carrier], description: columns of few different texts}
#   numbers: {default: [hour, distance], description: columns of numbers}
#   target: {default: late, description: column of 0 and 1}
# ---
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

if set(__train__["__target__"].unique()) != {0, 1}:
    raise ValueError("__target__ must hold 0 and 1, and both")
categories, numbers = __categories__, __numbers__
inputs = ["__text__", *categories, *numbers]


def fill_text(column: pd.Series) -> pd.Series:
    """Return the texts with empty ones where they are missing."""
    return column.fillna("").astype(str)


words = make_pipeline(FunctionTransformer(fill_text), TfidfVectorizer(min_df=2, max_features=5_000))
encode = ColumnTransformer(
    [
        ("words", words, "__text__"),
        ("categories", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20), categories),
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    ]
)
model = make_pipeline(encode, LogisticRegression(max_iter=1000)).fit(
    __train__[inputs], __train__["__target__"]
)


def probability(rows: pd.DataFrame) -> np.ndarray:
    """Return the probability of __target__ for each row."""
    return model.predict_proba(rows[inputs])[:, 1]


print(f"{model[-1].coef_.shape[1]:,} columns; mean {probability(__train__).mean():.1%}")
