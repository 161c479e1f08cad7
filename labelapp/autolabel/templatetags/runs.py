from django import template

from labelapp.autolabel.pages import money_words, selection_words

register = template.Library()
register.filter("selection_words", selection_words)
register.filter("run_money", money_words)
